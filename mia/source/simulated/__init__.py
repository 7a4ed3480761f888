"""A market made up from a seed, tick by tick; `SimulatedMarket` is its only door."""

from mia.source.simulated.market import SimulatedMarket, Truth

__all__ = ["SimulatedMarket", "Truth"]

"""A market made up from a seed, tick by tick, with its options and its news; these are its only doors."""

from mia.source.simulated.chains import SimulatedChains
from mia.source.simulated.headlines import SimulatedNews
from mia.source.simulated.market import SimulatedMarket, Truth

__all__ = ["SimulatedChains", "SimulatedMarket", "SimulatedNews", "Truth"]

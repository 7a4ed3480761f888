"""mia: learns to trade index futures, judges itself honestly, and trades on the same code."""

__version__ = "0.1.0"

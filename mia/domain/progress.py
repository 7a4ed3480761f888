"""How a long computation says how far it is, without knowing who listens; the terminal is one listener."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` with 0 <= done <= total, as often as convenient."""

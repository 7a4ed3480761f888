"""When a position must be gone and when new exposure is allowed, from what is known at a bar's close.

One compiled rule per question, for one row; the batch form walks it, so backtest and live cannot differ.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from mia.risk.settings import RiskProfile

Array = np.ndarray

_NEVER, _SESSION_END, _RTH_CLOSE = 0, 1, 2
_CODES = {"never": _NEVER, "session_end": _SESSION_END, "rth_close": _RTH_CLOSE}


@njit(cache=True)
def must_flat_row(minutes_to_close: float, minutes_to_rth_close: float, rth: float, lead: float, code: int) -> bool:
    """Whether the target of one row must be 0; `lead` and `code` as `lead_and_code` gives them."""
    # Written as "not later than" so that a missing time means flat.
    if code == _SESSION_END:
        return not minutes_to_close > lead
    if code == _RTH_CLOSE:
        return not (rth > 0 and minutes_to_rth_close > lead and minutes_to_close > lead)
    return False


@njit(cache=True)
def _must_flat_rows(minutes_to_close: Array, minutes_to_rth_close: Array, rth: Array, lead: float, code: int) -> Array:
    out = np.empty(len(minutes_to_close), dtype=np.bool_)
    for t in range(len(out)):
        out[t] = must_flat_row(minutes_to_close[t], minutes_to_rth_close[t], rth[t], lead, code)
    return out


def must_flat(
    minutes_to_close: Array, minutes_to_rth_close: Array, rth: Array, bar_minutes: int, profile: RiskProfile
) -> Array:
    """Return the rows whose target must be 0.

    An order sent at a bar's close fills at the next open, so the last chance to be flat at the close of a
    session is the row one bar before its last bar closes. Planned times are used: that a session ended early
    because data stopped is not known beforehand, and the accounting counts the position carried over.

    Parameters
    ----------
    minutes_to_close, minutes_to_rth_close, rth : (T,) float64, the ``cal.`` columns of those names [minutes]
    bar_minutes : length of a bar [minutes]
    profile : says when to be flat, and how early

    Returns
    -------
    (T,) bool; True as well where the time is missing, and, for "rth_close", outside regular hours.
    """
    to_close = np.asarray(minutes_to_close, dtype=np.float64)
    to_rth_close = np.asarray(minutes_to_rth_close, dtype=np.float64)
    lead, code = lead_and_code(bar_minutes, profile)
    return _must_flat_rows(to_close, to_rth_close, np.asarray(rth, dtype=np.float64), lead, code)


def lead_and_code(bar_minutes: int, profile: RiskProfile) -> tuple[float, int]:
    """Return how early [minutes] and at which end `profile` wants to be flat, as `must_flat_row` reads it."""
    return float(max(profile.flat_before_minutes, bar_minutes)), _CODES[profile.flat_at]


@njit(cache=True)
def may_enter_row(features: Array, safety: Array, seen: int, warm_up: int) -> bool:
    """Whether one row (F,) of raw features, after `seen` others, allows new exposure."""
    if seen < warm_up:
        return False
    present = True
    for column in safety:
        present = present and np.isfinite(features[column])
    return present


@njit(cache=True)
def _may_enter_rows(features: Array, safety: Array, seen: int, warm_up: int) -> Array:
    out = np.empty(len(features), dtype=np.bool_)
    for t in range(len(features)):
        out[t] = may_enter_row(features[t], safety, seen + t, warm_up)
    return out


def may_enter(features: Array, safety: Sequence[int], *, warm_up: int, seen: int = 0) -> Array:
    """Return the rows at which new exposure may be taken; holding and reducing are always allowed.

    Parameters
    ----------
    features : (T, F) float64, raw features, NaN where missing
    safety : columns without which nothing may be entered
    warm_up : rows after which features are trusted, >= 0 [bars]
    seen : rows before these [bars]

    Returns
    -------
    (T,) bool
    """
    columns = np.asarray(safety, dtype=np.int64).reshape(-1)
    return _may_enter_rows(np.ascontiguousarray(features, dtype=np.float64), columns, seen, warm_up)

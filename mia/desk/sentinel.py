"""An earlier policy that trades along on paper: what it sees, and when it must be flat. Part of a snapshot.

Its observation has no self columns, so nothing runs in a circle. What it says and lives becomes those columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mia.desk.observation import ObservationTemplate
from mia.domain.series import INDEX
from mia.features.normalisation import Scaler
from mia.risk.flat_rules import may_enter, must_flat
from mia.risk.settings import RiskProfile

Array = np.ndarray
State = dict[str, Array]

_OPEN, _CLOSE = INDEX["bar.open"], INDEX["bar.close"]
_SESSION, _SLOT = INDEX["cal.session"], INDEX["cal.slot"]
_TO_CLOSE, _TO_RTH, _RTH = (INDEX[f"cal.{name}"] for name in ("minutes_to_close", "minutes_to_rth_close", "rth"))


class Shadow(Protocol):
    """A policy on a shadow account (`mia.algo.sentinel`)."""

    def new_state(self) -> State:
        """Return the state before the first row."""
        ...

    def advance(
        self,
        state: State,
        obs: Array,
        open_: Array,
        close: Array,
        session: Array,
        must_flat: Array,
        may_enter: Array,
        *,
        r_cents: Array,
        drift: Array,
        limit_cents: float,
    ) -> Array:
        """Return what was said and lived at n rows, in the order of `awareness.INPUTS`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sentinel:
    """A shadow account and how it sees the pipeline's rows.

    Parameters
    ----------
    shadow : policy and account
    scalers : of the market plan and, where there is one, the model plan
    template : layout of its observation
    drawdown_limit_cents : drawdown that counts as 1 [cents]
    tick_value_cents, tick_size : worth and size of a tick
    profile : when to be flat
    safety : (k,) columns of the market plan without which nothing is entered
    atr : (2,) columns of atr_dynamic and of its stand-in, in points
    bar_minutes : length of a bar [minutes]
    """

    shadow: Shadow
    scalers: tuple[Scaler, ...]
    template: ObservationTemplate
    drawdown_limit_cents: float
    tick_value_cents: int
    tick_size: float
    profile: RiskProfile
    safety: Sequence[int]
    atr: Sequence[int]
    bar_minutes: int

    def advance(self, state: State, rows: Array, features: Array, model: Array, belief: Array, drift: Array) -> Array:
        """Trade n more rows; returns what was said and lived, (n, INPUTS).

        Parameters
        ----------
        state : of the shadow; changed in place
        rows : (n, WIDTH) base series
        features, model : (n, C), (n, Fx) columns of the market and model plans
        belief : (n, K)
        drift : (n,) of the features, handed through
        """
        atr = np.where(np.isnan(features[:, self.atr[0]]), features[:, self.atr[1]], features[:, self.atr[0]])
        return self.shadow.advance(
            state,
            self._observe(rows, features, model, belief),
            rows[:, _OPEN],
            rows[:, _CLOSE],
            rows[:, _SESSION],
            must_flat(rows[:, _TO_CLOSE], rows[:, _TO_RTH], rows[:, _RTH], self.bar_minutes, self.profile),
            may_enter(features, self.safety, warm_up=0),
            r_cents=atr / self.tick_size * self.tick_value_cents,
            drift=drift,
            limit_cents=self.drawdown_limit_cents,
        )

    def _observe(self, rows: Array, features: Array, model: Array, belief: Array) -> Array:
        slots = rows[:, _SLOT]
        parts = [
            scaler.transform(values, slots) for scaler, values in zip(self.scalers, (features, model), strict=False)
        ]
        view, masks = (np.concatenate([part[k] for part in parts], axis=1) for k in (0, 1))
        return self.template.batch(view, masks, belief, names=self.template.view)

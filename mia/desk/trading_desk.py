"""The desk: one closed bar in, one decision out. task/ hands it rows, in backtest as in paper and live.

It calls, row by row, the same compiled functions the batch path scans, so both give the same bits.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mia.broker.terms import Terms
from mia.desk.accounting import EQUITY, FORCED, POSITION, advance, contracts, cut, new_accounts, permit, rules
from mia.desk.decision import Decision
from mia.desk.feature_pipeline import Block
from mia.desk.observation import ObservationTemplate
from mia.desk.policy import DeskPolicy
from mia.domain.errors import ArtefactMismatch, DataError
from mia.domain.series import INDEX
from mia.risk.flat_rules import lead_and_code, may_enter_row, must_flat_row
from mia.risk.limits import Limits
from mia.risk.settings import RiskProfile

Array = np.ndarray

_OPEN, _CLOSE = INDEX["bar.open"], INDEX["bar.close"]
_SESSION, _SLOT = INDEX["cal.session"], INDEX["cal.slot"]
_TO_CLOSE, _TO_RTH, _RTH = (INDEX[f"cal.{name}"] for name in ("minutes_to_close", "minutes_to_rth_close", "rth"))


class Pipeline(Protocol):
    """Base series of closed bars to features and belief."""

    def advance(self, ts: Array, rows: Array) -> Block:
        """Return what n more rows (n, WIDTH) became."""
        ...


class View(Protocol):
    """Raw features to the model view."""

    def transform(self, block: Block, slots: Array) -> tuple[Array, Array]:
        """Return the view (n, F) and the group masks (n, M) of n rows at their slots of the session."""
        ...


class TradingDesk:
    """One market, one account, one policy, walked bar by bar.

    Parameters
    ----------
    names : (F,) names of the view's columns, in order
    features : (C,) names of the market plan's columns, in order; the safety list names some of them
    pipeline, view, template, policy : what a row passes through, in this order
    terms : what a tick is worth and a side costs
    profile, limits : when to be flat, and how much may be held
    safety : names of features without which nothing is entered
    warm_up : rows after which features are trusted [bars]
    bar_minutes : length of a bar [minutes]

    Raises
    ------
    ArtefactMismatch : if the template or the safety list reads a feature the pipeline lacks.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        features: Sequence[str],
        pipeline: Pipeline,
        view: View,
        template: ObservationTemplate,
        policy: DeskPolicy,
        terms: Terms,
        profile: RiskProfile,
        limits: Limits,
        safety: Sequence[str],
        warm_up: int,
        bar_minutes: int,
    ) -> None:
        template.check(names)
        self._pipeline, self._view = pipeline, view
        self._template, self._policy = template, policy
        self._rule, self._most = rules(terms, limits), limits.max_contracts
        self._lead, self._code = lead_and_code(bar_minutes, profile)
        self._warm_up = warm_up
        self._safety = _columns(features, safety, "safety list")
        self._account = new_accounts(1)[0]
        self._seen = 0
        self._target = 0
        self._close = 0
        self._session = 0

    @property
    def account(self) -> Array:
        """(FIELDS,) int64, copy of the account (`mia.desk.accounting`)."""
        copy: Array = self._account.copy()
        return copy

    def see(self, ts: int, row: Array) -> Decision:
        """Account for one closed bar and decide what to hold from the next bar's open.

        Parameters
        ----------
        ts : close time of the bar [ns UTC]
        row : (WIDTH,) float64, base series of the bar, calendar columns filled

        Raises
        ------
        DataError : if the bar has no whole-tick open and close, or no session; nothing has changed then.
        """
        open_ticks, close_ticks = _whole(row, _OPEN, "open"), _whole(row, _CLOSE, "close")
        session = _whole(row, _SESSION, "session")
        if self._seen > 0:
            new_session = session != self._session
            advance(self._account, self._target, self._close, open_ticks, close_ticks, new_session, self._rule)
        block = self._pipeline.advance(np.array([ts], dtype=np.int64), np.reshape(row, (1, -1)))
        view, masks = self._view.transform(block, np.array([int(row[_SLOT])], dtype=np.int64))
        belief = block.belief[0]
        observation = self._template.row(view[0], masks[0], belief)
        held = int(self._account[POSITION])
        wish = float(self._policy.decide(observation, held / self._most))
        wished = contracts(wish, self._most)
        flat = must_flat_row(row[_TO_CLOSE], row[_TO_RTH], row[_RTH], self._lead, self._code)
        enter = may_enter_row(block.features[0], self._safety, self._seen, self._warm_up)
        target, flags = permit(self._account, wished, flat, enter, self._rule)
        self._account[FORCED] += cut(held, wished, target)
        self._target, self._close, self._session = int(target), close_ticks, session
        self._seen += 1
        return Decision(
            row=self._seen - 1,
            wish=wish,
            target=int(target),
            position=held,
            flags=int(flags),
            equity_cents=int(self._account[EQUITY]),
            belief=belief,
            observation=observation,
        )


def _columns(names: Sequence[str], wanted: Sequence[str], reader: str) -> Array:
    place = {name: i for i, name in enumerate(names)}
    for name in wanted:
        if name not in place:
            raise ArtefactMismatch(f"desk: the {reader} reads {name}, which the engine does not compute; refit it")
    return np.array([place[name] for name in wanted], dtype=np.int64)


def _whole(row: Array, column: int, what: str) -> int:
    value = float(row[column])
    if not value.is_integer():
        raise DataError(f"desk: a bar's {what} must be a whole number, was {value:g}; repair the source")
    return int(value)

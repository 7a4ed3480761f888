"""A champion trades; a challenger and its predecessor trade along on accounts of their own, and the better one stays.

Windows follow one another; whoever shall trade one is known before it. Changes are told as events with the SHA-256 of
both policies. Called by mia.task.online, which trains the challengers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from mia.broker.terms import Terms
from mia.desk.accounting import EQUITY, new_accounts
from mia.desk.backtest import Track, run_policy
from mia.desk.tape import Tape
from mia.evaluation.sequential import BettingTest, spent
from mia.evaluation.shadow_settings import ShadowSettings
from mia.risk.limits import Limits

Array = np.ndarray

PROMOTED, RETREATED, DISCARDED = "promoted", "retreated", "discarded"


class Contestant(Protocol):
    """A policy: decides, can be told to abstain, and names its weights."""

    layers: Any
    abstains: bool

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        ...

    def to_state(self) -> dict[str, Any]:
        """Return all fields."""
        ...

    def table(self, obs: Array, positions: Array) -> Array:
        """Return (T, P) targets."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """What happened in one window.

    Parameters
    ----------
    track : of the live account
    live, challenger, former : net profit of each [cents]
    promote_evidence, retreat_evidence : wealth of the two tests afterwards
    events : what changed at its start or its end, JSON-able
    """

    track: Track
    live: int
    challenger: int
    former: int
    promote_evidence: float
    retreat_evidence: float
    events: tuple[dict[str, Any], ...]


class Contest:
    """Holds the champion and those who would take its place.

    The first champion's predecessor is nobody: flat. So a champion that does worse than doing nothing goes as well,
    and a later challenger has to beat doing nothing.

    Parameters
    ----------
    champion : trades from the first window on
    terms, limits : of all accounts
    settings : when to change
    deviation_cents : deviation of what one contract held through a window earns, known beforehand [cents], > 0
    """

    def __init__(
        self, champion: Contestant, terms: Terms, limits: Limits, settings: ShadowSettings, deviation_cents: float
    ) -> None:
        self.terms, self.limits, self.settings = terms, limits, settings
        self.deviation = deviation_cents * limits.max_contracts
        self.champions: list[Any] = [champion] if champion.abstains else [_idle(champion), champion]
        self.challenger: Any = awake(champion)
        self.accounts = dict(zip(("live", "challenger", "former"), new_accounts(3), strict=True))
        self.windows, self.changes = 0, 0
        self.promote = BettingTest(spent(settings.promote_alpha, 1))
        self.retreat = BettingTest(settings.retreat_alpha)

    @property
    def champion(self) -> Any:
        """Who trades."""
        return self.champions[-1]

    def trade(self, window: Tape, challenger: Any) -> Window:
        """Let all trade one window, then decide who trades the next.

        Parameters
        ----------
        window : rows decided at, and one more, whose close ends the window
        challenger : as it was before the window
        """
        events: list[dict[str, Any]] = []
        self.challenger = challenger
        if not is_sound(self.challenger):
            self._discard(window, events)
        while not is_sound(self.champion):
            self._retreat(window, "weights are not finite", events)
        before = {name: int(account[EQUITY]) for name, account in self.accounts.items()}
        policies = {"live": self.champion, "challenger": self.challenger}
        policies["former"] = self.champions[-2] if len(self.champions) > 1 else self.champion
        tracks = {name: self._walk(window, policy, name) for name, policy in policies.items()}
        for name, track in tracks.items():
            self.accounts[name] = track.account
        gain = {name: int(self.accounts[name][EQUITY]) - before[name] for name in policies}
        self.windows += 1
        promote, retreat = self._decide(window, gain, events)
        return Window(
            track=tracks["live"],
            **gain,
            promote_evidence=promote,
            retreat_evidence=retreat,
            events=tuple(events),
        )

    def _walk(self, window: Tape, policy: Any, name: str) -> Track:
        account = self.accounts[name]
        return run_policy(window, policy, self.terms, self.limits, close_at_end=False, account=account)

    def _decide(self, window: Tape, gain: Mapping[str, int], events: list[dict[str, Any]]) -> tuple[float, float]:
        """Put what was gained to both tests, and change what has to."""
        bound = self.settings.bound * self.deviation
        better = self.promote.update(gain["challenger"] - gain["live"], bound)
        behind = gain["former"] - gain["live"]
        worse = self.retreat.update(behind, bound)
        evidence = self.promote.evidence, self.retreat.evidence
        if len(self.champions) > 1 and behind > self.settings.gross_loss * self.deviation:
            self._retreat(window, "fell behind its predecessor by too much in one window", events)
        elif len(self.champions) > 1 and worse:
            self._retreat(window, "did worse than its predecessor", events)
        elif better:
            self._promote(window, events)
        return evidence

    def _promote(self, window: Tape, events: list[dict[str, Any]]) -> None:
        event = self._event(window, PROMOTED, self.champion, self.challenger, self.promote.evidence)
        self.champions.append(self.challenger)
        self.accounts["former"] = self.accounts["live"].copy()
        self.accounts["challenger"] = self.accounts["live"].copy()
        self._anew()
        events.append(event)

    def _retreat(self, window: Tape, reason: str, events: list[dict[str, Any]]) -> None:
        gone = self.champions.pop()  # never the first, who is flat and cannot fail
        event = self._event(window, RETREATED, gone, self.champion, self.retreat.evidence) | {"reason": reason}
        self.challenger = self._fresh()
        self.accounts["former"] = self.accounts["live"].copy()
        self._anew()
        events.append(event)

    def _discard(self, window: Tape, events: list[dict[str, Any]]) -> None:
        event = self._event(window, DISCARDED, self.challenger, self.champion, self.promote.evidence)
        self.challenger = self._fresh()
        events.append(event | {"reason": "weights are not finite"})

    def _fresh(self) -> Any:
        """The champion's weights as a challenger; a flat champion stays flat if they are not finite."""
        found = awake(self.champion)
        return found if is_sound(found) else self.champion

    def _anew(self) -> None:
        """Begin both tests anew; each further test of challengers gets less of the level."""
        self.changes += 1
        self.promote = BettingTest(spent(self.settings.promote_alpha, 1 + self.changes))
        self.retreat = BettingTest(self.settings.retreat_alpha)

    def _event(self, window: Tape, what: str, old: Any, new: Any, evidence: float) -> dict[str, Any]:
        return {
            "event": what,
            "window": self.windows,
            "ts": int(window.ts[0] if what == DISCARDED else window.ts[-1]),
            "from": old.digest,
            "to": new.digest,
            "to_flat": bool(new.abstains),
            "evidence": float(evidence),
        }

    def state(self) -> dict[str, Any]:
        """Return everything that decides the windows to come."""
        return {
            "champions": [policy.to_state() for policy in self.champions],
            "challenger": self.challenger.to_state(),
            "accounts": dict(self.accounts),
            "windows": self.windows,
            "changes": self.changes,
            "promote": self.promote.state(),
            "retreat": self.retreat.state(),
        }

    def restore(self, state: Mapping[str, Any], revive: Callable[[Mapping[str, Any]], Any]) -> None:
        """Be where `state` was taken; `revive` makes a policy of what `to_state` gave."""
        self.champions = [revive(policy) for policy in state["champions"]]
        self.challenger = revive(state["challenger"])
        self.accounts = {name: np.array(account, dtype=np.int64) for name, account in state["accounts"].items()}
        self.windows, self.changes = int(state["windows"]), int(state["changes"])
        self.promote, self.retreat = BettingTest.restored(state["promote"]), BettingTest.restored(state["retreat"])


def windows(start: int, stop: int, length: int) -> list[slice]:
    """Cut rows `start` to `stop - 1` into windows of `length` rows decided at and the next, whose close ends them.

    The last window may be short; the last row of all is decided at by nobody: it has no next bar.
    """
    return [slice(at, min(at + length, stop - 1) + 1) for at in range(start, stop - 1, length)]


def one_track(tracks: Sequence[Track], terms: Terms) -> Track:
    """Put consecutive windows of one account end to end, and close at the last price what is still held there."""
    ends = [*(slice(0, -1) for _ in tracks[:-1]), slice(None)]
    money, market = ("equity_cents", "gross_cents", "cost_cents"), ("ts", "session", "open_ticks", "close_ticks")
    parts = {
        name: np.concatenate([getattr(track, name)[end] for track, end in zip(tracks, ends, strict=True)])
        for name in (*money, *market, "position", "flags")
    }
    closing = terms.side_cost_cents * abs(int(parts["position"][-1]))
    parts["equity_cents"][-1] -= closing
    parts["cost_cents"][-1] += closing
    return replace(tracks[-1], **parts, closed_at_end=True)


def window_deviation(tape: Tape, terms: Terms, length: int) -> float:
    """Deviation of what one contract held through `length` bars of the tape earns [cents]: the bars' times its root.

    Over the bars rather than over whole windows, of which a fold may have few; at least a tick.
    """
    changes = np.diff(tape.close)
    deviation = float(np.sqrt(np.mean(np.square(changes, dtype=np.float64)))) if len(changes) else 0.0
    return terms.tick_value_cents * max(deviation * length**0.5, 1.0)


def is_sound(policy: Any) -> bool:
    """Whether all weights are finite, or the policy is flat whatever they are."""
    return policy.abstains or all(np.isfinite(part).all() for pair in policy.layers for part in pair)


def awake(policy: Any) -> Any:
    """Return the policy as it trades when it may."""
    return replace(policy, abstains=False) if policy.abstains else policy


def _idle(policy: Any) -> Any:
    return replace(policy, abstains=True)

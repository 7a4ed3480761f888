"""Champion, challenger and predecessor on accounts of their own: who stays, who goes, and what is written down."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from mia.broker.terms import Terms
from mia.desk.backtest import run_policy
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation import known_world
from mia.evaluation.shadow import Contest, one_track, window_deviation, windows
from mia.evaluation.shadow_settings import ShadowSettings
from mia.risk.limits import unlimited

SETTINGS = ShadowSettings(promote_alpha=0.05, retreat_alpha=0.05, bound=2.5, gross_loss=6.0)
TERMS = Terms(tick_value_cents=1, side_cost_cents=20)
LENGTH = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """Trades the sign of the first column times `weight`."""

    weight: float
    abstains: bool = False
    layers: Any = field(default=())

    def __post_init__(self):
        object.__setattr__(self, "layers", ((np.array([self.weight], np.float32), np.zeros(1, np.float32)),))

    @property
    def digest(self):
        return f"weight {self.weight:g}"

    def to_state(self):
        return {"weight": self.weight, "abstains": self.abstains}

    def decide(self, obs, position):
        return float(self.table(obs[None], np.array([position]))[0, 0])

    def table(self, obs, positions):
        sign = np.zeros(len(obs)) if self.abstains else np.sign(self.weight * obs[:, 0])
        return np.repeat(sign[:, None].astype(np.float64), len(positions), axis=1)


class Long(Rule):
    """Holds one contract whatever it sees."""

    def table(self, obs, positions):
        return np.ones((len(obs), len(positions)))


def made(seed=0, rows=10_000, strength=0.2, turn=None):
    """A tape whose next change has the sign of the first column now and then; from row `turn` on the opposite."""
    rng = generator(seed, "shadow")
    seen = np.repeat(rng.choice([-1.0, 1.0], rows // 25 + 1), 25)[:rows]
    effect = strength * seen
    if turn is not None:
        effect[turn:] *= -1
    return known_world.lay_out(effect + rng.standard_normal(rows), seen[:, None].astype(np.float32), 100)


def walked(contest, tape, challenger=None, length=LENGTH, stop=None):
    found = []
    for at, span in enumerate(windows(0, len(tape), length)[:stop]):
        given = contest.challenger if challenger is None else challenger(at)
        found.append(contest.trade(tape.slice(span.start, span.stop), given))
    return found


def contest(champion, tape, **changes):
    deviation = window_deviation(tape, TERMS, LENGTH)
    return Contest(champion, TERMS, unlimited(), replace(SETTINGS, **changes), deviation)


def events(found):
    return [(event["event"], event["window"]) for window in found for event in window.events]


def test_live_account_walks_the_windows_as_it_would_walk_them_at_once():
    tape = made(rows=1234)
    found = walked(contest(Rule(weight=1.0), tape), tape)
    track = one_track([window.track for window in found], TERMS)
    whole = run_policy(tape, Rule(weight=1.0), TERMS, unlimited())
    for name in ("ts", "session", "equity_cents", "gross_cents", "cost_cents", "position", "close_ticks"):
        assert np.array_equal(getattr(track, name), getattr(whole, name)), name
    assert (
        sum(window.live for window in found)
        == run_policy(tape, Rule(weight=1.0), TERMS, unlimited(), close_at_end=False).equity_cents[-1]
    )


def test_windows_share_only_the_row_that_ends_one_and_begins_the_next():
    found = windows(10, 113, 50)
    assert [(span.start, span.stop) for span in found] == [(10, 61), (60, 111), (110, 113)]
    decided = [row for span in found for row in range(span.start, span.stop - 1)]
    assert decided == list(range(10, 112))


def test_deviation_of_a_window_is_that_of_its_bars_times_the_root_of_their_number():
    tape = made(rows=20_000, strength=0.0)
    assert window_deviation(tape, TERMS, 64) == pytest.approx(8 * 100.0, rel=0.03)


def test_good_champion_stays_when_its_challenger_is_no_better():
    tape = made(seed=1)
    arena = contest(Rule(weight=1.0), tape)
    found = walked(arena, tape, lambda at: Rule(weight=2.0))
    assert events(found) == []
    assert arena.champion.weight == 1.0


def test_better_challenger_takes_over_after_it_has_shown_it_and_not_before():
    tape = made(seed=2)
    arena = contest(Rule(weight=-1.0), tape)
    found = walked(arena, tape, lambda at: Rule(weight=1.0))
    told = [event for window in found for event in window.events]
    promoted = next(event for event in told if event["event"] == "promoted")
    assert promoted["to"] == "weight 1"
    assert 2 < promoted["window"] < 80
    assert arena.champion.weight == 1.0
    late = sum(window.live for window in found[promoted["window"] :])
    assert late > 0 > sum(window.live for window in found[: promoted["window"]])


def test_champion_that_does_worse_than_nothing_goes_flat():
    tape = made(seed=3)
    arena = contest(Rule(weight=-1.0), tape, promote_alpha=1e-6)
    found = walked(arena, tape)
    assert events(found)[0][0] == "retreated"
    assert arena.champion.abstains
    stop = events(found)[0][1]
    assert all(abs(window.live) <= TERMS.side_cost_cents + 500 for window in found[stop : stop + 1])
    assert sum(abs(window.live) for window in found[stop + 1 :]) == 0


def test_predecessor_comes_back_when_the_market_turns_against_a_new_champion():
    tape = made(seed=4, rows=20_000, turn=8000)
    arena = contest(Rule(weight=-1.0), tape)
    found = walked(arena, tape, lambda at: Rule(weight=1.0) if at < 160 else Rule(weight=-1.0))
    kinds = [name for name, _ in events(found)]
    assert "promoted" in kinds
    turned = [at for name, at in events(found) if at > 160]
    assert turned
    assert arena.champion.abstains or arena.champion.weight == -1.0
    after = turned[-1] + 1
    assert sum(window.live for window in found[after:]) >= 0


def test_weights_that_are_not_finite_never_trade():
    tape = made(seed=5, rows=2000)
    arena = contest(Rule(weight=1.0), tape)
    found = walked(arena, tape, lambda at: Rule(weight=float("nan")) if at == 3 else Rule(weight=1.0), stop=6)
    assert events(found) == [("discarded", 3)]
    still = contest(Rule(weight=1.0), tape)
    assert [w.live for w in found] == [w.live for w in walked(still, tape, stop=6)]


def test_champion_whose_weights_break_is_replaced_before_it_trades_another_window():
    tape = made(seed=6, rows=2000)
    arena = contest(Rule(weight=1.0), tape)
    walked(arena, tape, stop=5)
    arena.champions[-1] = Rule(weight=float("nan"))
    span = windows(0, len(tape), LENGTH)[5]
    found = arena.trade(tape.slice(span.start, span.stop), arena.challenger)
    assert found.events[0]["event"] == "retreated"
    assert arena.champion.abstains
    assert abs(found.live) <= 2000  # it closes what was held and holds nothing


def test_gross_loss_ends_a_champion_at_the_end_of_its_window():
    tape = made(seed=7, rows=2000)
    crash = tape.open.copy(), tape.close.copy()
    crash[1][230:] -= 9_000 * np.sign(tape.obs[229, 0]).astype(np.int64)
    crash[0][231:] = crash[1][230:-1]
    tape = replace(tape, open=crash[0], close=crash[1], high=np.maximum(*crash), low=np.minimum(*crash))
    deviation = window_deviation(made(seed=7, rows=2000), TERMS, LENGTH)
    arena = Contest(Rule(weight=1.0), TERMS, unlimited(), SETTINGS, deviation)
    found = walked(arena, tape, stop=6)
    assert events(found)[0] == ("retreated", 5)
    assert "too much in one window" in found[4].events[0]["reason"]


def test_challengers_of_no_worth_are_hardly_ever_promoted():
    promoted = 0
    for seed in range(60):
        tape = made(seed=seed, rows=5000, strength=0.0)
        free = Terms(tick_value_cents=1, side_cost_cents=0)
        arena = Contest(
            Rule(weight=1.0, abstains=True), free, unlimited(), SETTINGS, window_deviation(tape, free, LENGTH)
        )
        found = walked(arena, tape, lambda at: Rule(weight=1.0))
        promoted += any(name == "promoted" for name, _ in events(found))
    assert promoted <= 6  # 5 % of 60 and two deviations


@pytest.mark.parametrize("harm", ["reversed", "always long", "broken now and then"])
def test_harmed_challengers_cost_the_live_account_nothing_over_twenty_seeds(harm):
    gaps = []
    for seed in range(20):
        tape = made(seed=100 + seed, rows=4000)
        challengers = {
            "reversed": lambda at: Rule(weight=-1.0),
            "always long": lambda at: Long(weight=1.0),
            "broken now and then": lambda at: Rule(weight=float("nan") if at % 3 else -1.0),
        }
        found = walked(contest(Rule(weight=1.0), tape), tape, challengers[harm])
        live = one_track([window.track for window in found], TERMS).equity_cents[-1]
        gaps.append(live - run_policy(tape, Rule(weight=1.0), TERMS, unlimited()).equity_cents[-1])
        assert not any(name == "promoted" for name, _ in events(found))
    error = np.std(gaps, ddof=1) / 20**0.5
    assert np.mean(gaps) >= -2 * error - 1e-9


def test_contest_goes_on_from_its_state_as_if_nothing_had_happened():
    tape = made(seed=2)
    whole = contest(Rule(weight=-1.0), tape)
    told = walked(whole, tape, lambda at: Rule(weight=1.0), stop=60)
    first = contest(Rule(weight=-1.0), tape)
    walked(first, tape, lambda at: Rule(weight=1.0), stop=30)
    second = contest(Rule(weight=-1.0), tape)
    second.restore(first.state(), lambda state: Rule(**state))
    rest = [
        second.trade(tape.slice(span.start, span.stop), Rule(weight=1.0))
        for span in windows(0, len(tape), LENGTH)[30:60]
    ]
    assert [w.live for w in rest] == [w.live for w in told[30:]]
    assert [w.events for w in rest] == [w.events for w in told[30:]]
    assert [w.promote_evidence for w in rest] == [w.promote_evidence for w in told[30:]]


def test_events_name_both_policies_by_their_digests():
    tape = made(seed=2)
    found = walked(contest(Rule(weight=-1.0), tape), tape, lambda at: Rule(weight=1.0))
    event = next(event for window in found for event in window.events)
    assert {"event", "window", "ts", "from", "to", "to_flat", "evidence"} <= set(event)
    assert event["from"] == "weight -1"


def test_impossible_settings_are_refused_by_name():
    with pytest.raises(ConfigurationError, match="promote_alpha"):
        replace(SETTINGS, promote_alpha=0.9)

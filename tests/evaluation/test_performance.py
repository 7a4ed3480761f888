"""Figures of a walk against hand-computed ones."""

from types import SimpleNamespace

import numpy as np
import pytest

from mia.domain.errors import DataError
from mia.domain.rng import generator
from mia.evaluation import performance as p


def track(equity, position, session, cost=None, **more):
    equity = np.array(equity, np.int64)
    cost = np.zeros_like(equity) if cost is None else np.array(cost, np.int64)
    return SimpleNamespace(
        equity_cents=equity,
        gross_cents=equity + cost,
        cost_cents=cost,
        position=np.array(position, np.int64),
        ts=np.arange(len(equity), dtype=np.int64) * 60,
        session=np.array(session, np.int64),
        **more,
    )


WALK = track(
    equity=[0, -500, 1500, 1500, 1000, 4000, 2500],
    position=[0, 1, 1, 0, -1, -1, 1],
    session=[3, 3, 3, 4, 4, 4, 5],
    cost=[0, 500, 500, 1000, 1500, 1500, 2500],
)


def test_figures_of_a_small_walk_are_those_computed_by_hand():
    figures = p.performance(p.outcome(WALK), generator(1, "ci"))
    daily = np.array([15.0, 25.0, -15.0])
    sharpe = daily.mean() / daily.std(ddof=1) * np.sqrt(252)
    assert set(figures) == {
        *("net_usd", "gross_usd", "cost_usd", "sharpe", "sharpe_ci", "max_drawdown_usd", "cvar95_usd"),
        *("trades", "turnover", "exposure", "sharpe_se", "years_needed", "max_drawdown_intraday_usd"),
    }
    assert figures["net_usd"] == 25.0
    assert figures["gross_usd"] == 50.0
    assert figures["cost_usd"] == 25.0
    assert figures["sharpe"] == pytest.approx(sharpe)
    assert figures["max_drawdown_usd"] == -15.0
    assert figures["max_drawdown_intraday_usd"] == -15.0  # 4000 to 2500 cents; at -500 it is 5 below the start
    assert figures["cvar95_usd"] == -15.0
    assert figures["trades"] == 5  # in, out, short, turned around (two)
    assert figures["turnover"] == pytest.approx(5 / 3)
    assert figures["exposure"] == pytest.approx(5 / 7)
    low, high = figures["sharpe_ci"]
    assert low <= sharpe <= high


def test_drawdown_counts_from_the_starting_money():
    assert p.max_drawdown_usd(np.array([-7.0, 5.0, 11.0, -4.0])) == -7.0
    assert p.max_drawdown_usd(np.array([1.0, 2.0])) == 0.0


def test_rows_of_a_fold_start_from_zero_and_only_later_bars_count():
    part = p.outcome(WALK, slice(2, 6))
    assert part.equity_cents.tolist() == [0, 0, -500, 2500]
    assert part.sides == 2
    assert p.daily_net_usd(part).tolist() == [0.0, 25.0]


def test_parts_of_folds_run_on_and_overlapping_parts_are_refused():
    first, second = p.outcome(WALK, slice(0, 3)), p.outcome(WALK, slice(3, 7))
    whole = p.joined([first, second])
    assert whole.equity_cents.tolist() == [0, -500, 1500, 1500, 1000, 4000, 2500]
    assert whole.cost_cents[-1] == first.cost_cents[-1] + second.cost_cents[-1]
    assert p.daily_net_usd(whole).tolist() == [15.0, 25.0, -15.0]
    assert whole.sides == first.sides + second.sides
    with pytest.raises(DataError, match="overlap"):
        p.joined([p.outcome(WALK, slice(0, 4)), second])


def test_closing_at_the_end_of_the_track_is_a_side():
    held = track([0, 10, 20], [0, 1, 1], [1, 1, 1], closed_at_end=True)
    assert p.outcome(held).sides == 2
    assert p.outcome(held, slice(0, 2)).sides == 1


def test_walk_without_trades_has_zero_figures_and_no_years_would_help():
    figures = p.performance(p.outcome(track([0] * 8, [0] * 8, [1, 1, 2, 2, 3, 3, 4, 4])), generator(1, "ci"))
    assert figures["sharpe"] == 0.0
    assert figures["sharpe_ci"] == [0.0, 0.0]
    assert figures["years_needed"] is None
    assert figures["trades"] == 0


def test_days_without_trades_count_as_zero_days():
    assert p.daily_net_usd(p.outcome(track([0, 5, 5, 5, 9], [0, 1, 0, 0, 1], [1, 1, 2, 3, 4]))).tolist() == [
        0.05,
        0.0,
        0.0,
        0.04,
    ]


def test_conditional_value_at_risk_of_a_hundred_days_is_the_mean_of_the_worst_five():
    daily = generator(2, "cvar").permutation(np.arange(100.0))
    assert p.cvar_usd(daily) == pytest.approx(2.0)
    # 30 days: 5 % are one and a half days, the second worst counts half.
    assert p.cvar_usd(np.arange(30.0)) == pytest.approx((0 + 0.5 * 1) / 1.5)


def test_standard_error_is_that_of_the_reference_table():
    # 256 sessions: 0.99 at Sharpe 0.53 and 1.01 at -3.63; 87: 1.70; 463: 0.74.
    assert round(p.sharpe_error(0.53, 256), 2) == 0.99
    assert round(p.sharpe_error(-3.63, 256), 2) == 1.01
    assert round(p.sharpe_error(1.23, 87), 2) == 1.70
    assert round(p.sharpe_error(-1.2, 463), 2) == 0.74


@pytest.mark.parametrize("sharpe", [0.5, -1.0, 2.0])
def test_years_needed_are_those_at_which_the_interval_ends_at_zero(sharpe):
    years = p.years_needed(sharpe)
    error = p.sharpe_error(sharpe, round(years * 252))
    assert abs(sharpe) == pytest.approx(1.96 * error, rel=2e-3)


def test_empty_test_span_is_refused():
    with pytest.raises(DataError, match="at least one row"):
        p.outcome(WALK, slice(7, 7))

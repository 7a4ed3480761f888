"""The sentence says no more than the paths show, and the chance of loss is that of a known distribution."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from mia.domain.rng import generator
from mia.evaluation import cpcv_figures
from mia.evaluation.cpcv_verdict import Found, account_row, loss_probability, sentence, spread, written


def found(nets, chance=0.01, idle=0):
    paths = [{"net_usd": net, "sharpe": net / 100} for net in nets]
    return Found(
        paths=len(nets),
        trainings=15,
        idle=idle,
        spread=spread(paths),
        loss_probability=chance,
        hold_net_usd=-250.0,
    )


def test_the_spread_is_that_of_the_paths():
    over = spread([{"net_usd": net, "sharpe": -net} for net in (5.0, -1.0, 0.0, 7.0)])
    assert (over["median_net_usd"], over["worst_net_usd"], over["best_net_usd"]) == (2.5, -1.0, 7.0)
    assert (over["median_sharpe"], over["worst_sharpe"], over["best_sharpe"]) == (-2.5, -7.0, 1.0)
    assert over["losing_share"] == 0.25  # nothing earned is nothing lost


@pytest.mark.parametrize(
    ("nets", "chance", "begins", "tone"),
    [
        ([900, 1000, 1100], 0.01, "What is learned is stable", "good"),
        ([900, 1000, 1100], 0.20, "What is learned depends on which sessions", "open"),
        ([-50, 1000, 1100], 0.01, "What is learned depends on which sessions", "open"),
        ([0, 1000, 1100], 0.01, "What is learned depends on which sessions", "open"),
        ([-900, -100, 1100], 0.60, "What is learned loses on most paths", "bad"),
    ],
)
def test_stable_means_that_no_path_loses_and_the_days_could_hardly_have_made_one(nets, chance, begins, tone):
    said, its_tone = sentence(found(nets, chance), 0.95)
    assert said.startswith(begins)
    assert its_tone == tone
    assert f"of 3 lost, the chance of loss is {chance * 100:.1f} %" in said
    assert "buy and hold made -$250 on the same sessions." in said
    assert "the chance of loss is under 0.1 %" in sentence(found(nets, 0.0), 0.95)[0]


def test_a_policy_that_never_trades_is_neither_stable_nor_unstable():
    said, tone = sentence(found([0, 0, 0], 0.0, idle=15), 0.95)
    assert (said, tone) == (
        "The policy stayed flat in all 15 trainings: there is nothing whose stability could be judged.",
        "open",
    )
    assert "In 4 trainings the policy stayed flat." in sentence(replace(found([1, 2, 3]), idle=4), 0.95)[0]


def test_the_chance_of_loss_is_that_of_independent_normal_days():
    rng = generator(3, "normal days")
    days, mean = 100, 0.08
    chances = [
        loss_probability([rng.normal(mean, 1.0, days) for _ in range(5)], generator(seed, "loss"), 2000)
        for seed in range(60)
    ]
    # A resample's mean is off by the sample's own error and by that of resampling: both together sqrt(2 / n).
    exact = NormalDist().cdf(-mean * np.sqrt(days / 2))
    assert np.mean(chances) == pytest.approx(exact, abs=0.03)


def test_days_that_never_lose_or_never_move_have_no_chance_of_loss():
    assert loss_probability([np.ones(20), np.zeros(20)], generator(0, "loss"), 200) == 0.0
    assert loss_probability([np.zeros(20), -np.ones(20)], generator(0, "loss"), 200) == 0.5


def test_rows_carry_their_units():
    row = account_row("buy_and_hold", found([-5, 1, 1200]).spread, 3)
    assert written(row) == {
        "account": "buy and hold",
        "median [USD]": "$1",
        "worst [USD]": "-$5",
        "median Sharpe": "0.01",
        "worst Sharpe": "-0.05",
        "paths that lose": "1 of 3",
    }


def test_every_path_is_a_line_that_ends_where_it_earned_and_the_worst_is_named():
    ts = np.arange(300, dtype=np.int64) * 60_000_000_000
    lines = [np.linspace(0, end, 300) for end in (5000, -700, 900)]
    figure = cpcv_figures.equity(ts, lines, np.linspace(0, 100, 300), 1)
    ends = {trace.name: trace.y[-1] for trace in figure.data}
    assert ends == {"buy and hold": 1.0, "path 1": 50.0, "path 2, the worst": -7.0, "path 3": 9.0}
    assert len({trace.line.color for trace in figure.data}) == 3


def test_every_path_is_a_dot_at_its_sharpe_ratio_and_the_diamond_is_their_median():
    figure = cpcv_figures.sharpes({"policy": [1.0, 3.0, 2.5], "<b>ridge</b>": [0.5, -1.0, 0.0]}, "policy", 0.7)
    dots = [sorted(trace.x) for trace in figure.data if trace.name == "one path"]
    medians = [trace.x[0] for trace in figure.data if trace.name == "median"]
    assert dots == [[-1.0, 0.0, 0.5], [1.0, 2.5, 3.0]]
    assert medians == [0.0, 2.5]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;ridge&lt;/b&gt;", "policy"]
    assert figure.layout.shapes[0].x0 == 0.7

"""PPO under a limit on its worst episodes: measured as Rockafellar and Uryasev say, priced by a controller, kept."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mia.algo import learner
from mia.algo.cvar import interval, tail
from mia.algo.settings.effort import shortened
from mia.domain.rng import generator
from mia.evaluation.known_world_cmdp import Cmdp


def test_the_tail_of_ten_losses_is_the_hand_computed_mean():
    losses = np.array([3.0, -1.0, 7.0, 2.0, 0.0, 5.0, -4.0, 1.0, 9.0, 4.0])
    assert tail(losses, 0.8).mean == pytest.approx(8.0)  # 9 and 7
    assert tail(losses, 0.75).mean == pytest.approx((9 + 7 + 0.5 * 5) / 2.5)  # the third counts by half
    assert tail(losses, 0.99).mean == 9.0  # too few for a hundredth: the worst stands for it


@pytest.mark.parametrize(("law", "rows"), [(stats.norm(), 200_000), (stats.t(4), 400_000)])
def test_the_tail_of_many_losses_is_the_laws(law, rows):
    threshold = law.ppf(0.95)
    truth = law.expect(lambda x: x, lb=threshold, conditional=True)
    losses = law.rvs(rows, random_state=np.random.RandomState(3))
    seen = tail(losses, 0.95)
    assert seen.threshold == pytest.approx(threshold, rel=0.02)
    assert abs(seen.mean - truth) < 4 * seen.error
    assert seen.mean == pytest.approx(truth, rel=0.02)


def test_the_interval_covers_the_true_tail_about_as_often_as_it_says():
    truth = stats.norm.pdf(stats.norm.ppf(0.95)) / 0.05
    rng, covered = generator(1, "cover"), 0
    for _ in range(200):
        low, high = interval(rng.standard_normal(1000), 0.95, 0.95, 200, rng)
        covered += low <= truth <= high
    assert 0.87 <= covered / 200 <= 0.99


@pytest.fixture(scope="module")
def cmdp():
    from mia.task import command_line

    settings = command_line.compose(["experiment=cmdp", "algo=ppo_lagrangian"])
    small = replace(settings.source, train_sessions=10_000, judge_sessions=10_000)
    return settings.algo, Cmdp(small, 100)


def test_the_limit_is_kept_where_plain_ppo_breaks_it(cmdp):
    algo, world = cmdp
    limit = replace(algo.constraint, unit="usd", limit=world.limit_cents / 100, strict=False)
    bound = learner("ppo_lagrangian")(world.tape, world.terms, shortened(replace(algo, constraint=limit), 0.6), 100)
    loose = replace(limit, limit=1000 * limit.limit)
    free = learner("ppo_lagrangian")(world.tape, world.terms, shortened(replace(algo, constraint=loose), 0.3), 100)
    kept, broken = (world.judge(replace(policy, abstains=False)) for policy in (bound, free))
    assert broken["cvar"] > 1.2 * broken["limit"]
    assert kept["cvar"] < 0.8 * broken["cvar"]
    assert max(bound.card["trace"]["multiplier"]) > 0
    assert max(free.card["trace"]["multiplier"], default=0.0) == 0


def test_few_episodes_are_said_to_be_few(tape, terms, algo):
    settings = shortened(algo("ppo_lagrangian"), 0.02)
    few = learner("ppo_lagrangian")(tape.slice(0, 6000), terms, settings, 1)
    assert few.card["episodes_are_scarce"]
    assert few.card["episodes"]["unseen"] < 20

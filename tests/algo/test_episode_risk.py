"""What the constrained learner is made of: walks as the environment's, a price that follows, the choice, PPO inside."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mia.algo import learner
from mia.algo.cvar import interval, tail
from mia.algo.episode_walk import EpisodeWalk
from mia.algo.experience import experience
from mia.algo.multiplier import Multiplier
from mia.algo.ppo_lagrangian import summed, unit_cents
from mia.algo.selection import Candidate, Validation
from mia.algo.settings import MultiplierSettings
from mia.algo.settings.effort import shortened
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.env.episodes import Episodes
from mia.env.trading_env import TradingEnv
from mia.risk.limits import unlimited

PRICE = MultiplierSettings(proportional=1.0, integral=0.5, derivative=0.0, scale=0.1, smoothing=0.0, largest=5.0)


def test_the_mean_of_the_worst_of_heavy_tailed_losses_is_too_small_by_as_much_as_measured_elsewhere():
    law = stats.t(4)
    truth = law.expect(lambda x: x, lb=law.ppf(0.95), conditional=True)
    found = {}
    for rows, draws in ((50, 2000), (200, 1000), (5000, 200)):
        losses = law.rvs((draws, rows), random_state=np.random.RandomState(rows))
        means = np.array([tail(row, 0.95).mean for row in losses])
        found[rows] = means.mean() / truth - 1.0, means.std() / truth
    # The protocol's table: bias -11.8 %, -2.4 %, -0.1 %; deviation 27 %, 17 %, 3.4 %.
    assert -0.2 < found[50][0] < -0.05
    assert -0.06 < found[200][0] < 0.0
    assert abs(found[5000][0]) < 0.01
    assert found[5000][1] < 0.05
    assert found[200][1] == pytest.approx(0.17, abs=0.04)


def test_the_analytic_deviation_is_that_of_the_estimates():
    rng = generator(2, "deviation")
    estimates = [tail(rng.standard_normal(2000), 0.95) for _ in range(500)]
    assert np.mean([seen.error for seen in estimates]) == pytest.approx(
        np.std([seen.mean for seen in estimates]), rel=0.1
    )


def test_the_bootstrap_of_the_worst_alone_is_that_of_all_losses():
    losses = generator(4, "losses").standard_normal(400)
    rng = generator(5, "resamples")
    whole = [tail(rng.choice(losses, len(losses)), 0.95).mean for _ in range(4000)]
    low, high = interval(losses, 0.95, 0.9, 4000, generator(6, "resamples"))
    assert (low, high) == pytest.approx(tuple(np.quantile(whole, (0.05, 0.95))), abs=0.03)


@pytest.fixture(scope="module")
def walked(tape, terms):
    part = tape.slice(0, 5300)  # ten whole sessions, and one that is cut
    learned = experience(part, terms)
    return part, learned, Episodes(part, 1)


def band(seen):
    """Long above, short below, else as before: a policy that looks at the position."""
    keep = np.rint(seen[:, -1]).astype(np.int64) + 1
    return np.where(seen[:, 0] > 0.7, 2, np.where(seen[:, 0] < -0.7, 0, keep))


@pytest.mark.parametrize("risk", ["loss", "drawdown"])
def test_a_walked_episode_is_the_environments(walked, terms, risk):
    part, learned, episodes = walked
    walk = EpisodeWalk(learned.obs, learned.cents, learned.held, episodes, risk)
    found, ways = walk.follow(band, np.arange(len(walk)), len(walk))
    env = TradingEnv(part, terms, unlimited(), learned.reward, episode_sessions=1)
    for i in range(len(walk)):
        seen, info = env.reset(seed=0, options={"episode": i})
        done, left = False, int(episodes.stops[i] - episodes.starts[i] - 1)
        while not done:
            so_far = -info["equity_cents"] if risk == "loss" else info["drawdown_cents"]
            assert ways[i, left, 1] == so_far
            seen, _, terminated, truncated, info = env.step(band(seen[None])[0])
            done, left = terminated or truncated, left - 1
        assert found[i] == (-info["equity_cents"] if risk == "loss" else info["drawdown_cents"])
    assert np.array_equal(walk.measure(band, np.array([7, 2])), found[[7, 2]])


def test_walked_episodes_of_several_sessions_do_not_overlap(tape, terms):
    part = tape.slice(0, 5000)
    learned = experience(part, terms)
    walk = EpisodeWalk(learned.obs, learned.cents, learned.held, Episodes(part, 3), "loss")
    assert len(walk) == 3
    assert walk.mean_steps == 1499


def test_the_price_rises_while_the_limit_is_broken_and_falls_to_nothing_when_it_is_kept():
    price = Multiplier(PRICE)
    broken = [price.update(0.2) for _ in range(5)]
    assert broken[0] == pytest.approx(0.1 * np.expm1(0.2 + 0.5 * 0.2))
    assert np.all(np.diff(broken) > 0)
    assert [price.update(-0.5) for _ in range(5)][-1] == 0.0
    assert price.update(-0.5) == 0.0


def test_the_price_is_bounded_and_comes_down_at_once_after_a_long_breach():
    price = Multiplier(PRICE)
    for _ in range(1000):
        price.update(1.0)
    assert price.value == pytest.approx(5.0)
    below = [price.update(-1.0) for _ in range(8)]
    assert below[0] < 5.0
    assert below[-1] == 0.0


def test_a_restored_price_goes_on_as_it_would_have():
    first, second = Multiplier(PRICE), Multiplier(PRICE)
    for error in (0.4, -0.1, 0.3):
        first.update(error)
    second.restore(first.state())
    assert [first.update(0.1), first.update(-0.2)] == [second.update(0.1), second.update(-0.2)]


def test_surprises_add_up_to_the_end_of_their_episode():
    surprise = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    dones = np.array([[False, False], [True, False], [False, False]])
    assert summed(surprise, dones, 0.5).tolist() == [[2.0, 30.0], [2.0, 40.0], [4.0, 40.0]]


def test_units_of_the_limit():
    assert [unit_cents(unit, 1000.0, 400.0) for unit in ("bar", "episode", "usd")] == [1000.0, 20_000.0, 100.0]


def candidates(settings, *rows):
    """A validation that has seen checkpoints of a profit and a breach each."""
    found = Validation(None, settings, generator(0, "test"))
    noise = 0.01 * generator(1, "noise").standard_normal(60)
    for step, (profit, breach) in enumerate(rows):
        found.candidates.append(Candidate(step=step, policy=None, blocks=profit + noise, trades=1, breach=breach))
    return found


@pytest.fixture
def choosing(ppo):
    return replace(ppo.validation, blocks=60, resamples=200, margin=1.0, patience=2)


def test_a_checkpoint_that_keeps_the_limit_is_preferred_to_a_richer_one_that_does_not(choosing):
    rows = ((5.0, 0.2), (1.0, -0.1), (2.0, 0.0), (9.0, 0.01))
    assert candidates(choosing, *rows).choose().candidate.step == 2


def test_of_checkpoints_that_all_break_the_limit_the_mildest_is_chosen(choosing):
    assert candidates(choosing, (5.0, 0.2), (1.0, 0.1), (9.0, 0.3)).choose().candidate.step == 1


def test_a_training_is_not_stale_while_no_checkpoint_keeps_the_limit(choosing):
    assert not candidates(choosing, (9.0, 0.2), (1.0, 0.1), (1.0, 0.1), (1.0, 0.1)).is_stale()
    assert not candidates(choosing, (9.0, 0.2), (1.0, 0.1), (1.0, -0.1), (1.0, 0.1)).is_stale()
    assert candidates(choosing, (1.0, -0.1), (9.0, 0.1), (9.0, 0.1)).is_stale()


@pytest.fixture(scope="module")
def quick(algo):
    return shortened(algo("ppo_lagrangian"), 0.06)


def limited(settings, **changes):
    return replace(settings, constraint=replace(settings.constraint, **changes))


def test_with_a_limit_out_of_reach_it_is_ppo_bit_for_bit(quick, ppo, tape, terms):
    names = ("frames", "network", "validation", "accounts", "rollout_rows", "batch_frames", "cost_warmup")
    plain = replace(ppo, **{name: getattr(quick, name) for name in names})
    rows = tape.slice(0, 20_000)
    bound = learner("ppo_lagrangian")(rows, terms, limited(quick, limit=1e6), 100)
    free = learner("ppo")(rows, terms, plain, 100)
    assert bound.digest == free.digest
    assert set(bound.card["trace"]["multiplier"]) == {0.0}


@pytest.mark.parametrize("measure", ["loss", "drawdown"])
def test_a_limit_that_no_trading_policy_keeps_makes_it_abstain(quick, tape, terms, measure):
    strict = limited(quick, limit=1e-6, measure=measure, strict=True)
    policy = learner("ppo_lagrangian")(tape.slice(0, 20_000), terms, strict, 100)
    assert max(policy.card["trace"]["multiplier"]) > 0
    look = policy.card["curve"][-1]
    assert look["cvar_low"] <= look["cvar_loss"] <= look["cvar_high"]
    assert policy.abstains or look["cvar_high"] <= look["cvar_limit"] * (1 + strict.constraint.tolerance)


def test_settings_out_of_bounds_are_refused_by_name(quick):
    for field, value in (("measure", "profit"), ("unit", "ticks"), ("alpha", 1.0), ("limit", 0.0), ("peers", -1)):
        with pytest.raises(ConfigurationError, match=f"algo constraint: {field} must"):
            limited(quick, **{field: value})
    with pytest.raises(ConfigurationError, match="algo multiplier: scale must"):
        replace(PRICE, scale=0.0)
    with pytest.raises(ConfigurationError, match="kind must be ppo_lagrangian"):
        replace(quick, kind="ppo")

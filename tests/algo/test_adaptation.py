"""Gradient steps from weights that exist: the steps of training, counted, deterministic, within their limit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from mia.algo import adaptation, qr_dqn
from mia.algo.adaptation import Rows, WeightedReplay, adapt, between, divergence, outcomes, quantile_huber
from mia.algo.by_regime import ByRegime, regime_rows, sure_regimes
from mia.algo.experience import experience
from mia.algo.learning import Course, seeded
from mia.algo.opinion import Reader
from mia.algo.qr_dqn import quantile_huber_gradient
from mia.algo.settings.adaptation import FinetuneSettings, MetaSettings, StepSettings, check_learner
from mia.desk.policy import TablePolicy
from mia.domain.errors import ConfigurationError, DataError
from mia.domain.rng import generator
from mia.evaluation import known_world
from mia.source import yardstick

STEP = StepSettings(updates=40, learning_rate=0.001, batch_rows=256, target_rate=0.05, kl_limit=1.0, check_every=20)


@pytest.fixture(scope="module")
def base(tape, terms):
    return experience(tape.slice(0, 20_000), terms)


@pytest.fixture(scope="module")
def rows(tape, terms, base):
    return Rows.of(tape.slice(20_000, 24_000), terms, base)


@pytest.fixture(scope="module")
def settings(qr_dqn):
    # A wide threshold forgets a turned signal in a few steps; a narrow one takes several times as many.
    return replace(qr_dqn, network=(64, 64), target_quantiles=0, huber=1.0)


@pytest.fixture(scope="module")
def start(tape, terms, settings):
    from mia.algo import learner

    policy = learner("qr_dqn")(tape, terms, replace(settings, updates=500, learning_rate=0.007), 100)
    return replace(policy, abstains=False)


@pytest.fixture(scope="module")
def other(rows, settings, start):
    """A policy with the same network that decides otherwise."""
    return adapt(start, rows, settings, replace(STEP, updates=60, learning_rate=0.01, kl_limit=1e9), 9).policy


def flipped(world):
    """The world with its signal turned round: whoever followed it loses."""
    return replace(world, returns=world.returns - 2 * world.settings.signal * world.alpha)


def test_steps_are_those_training_takes(rows, settings, start):
    adapted = adapt(start, rows, settings, replace(STEP, updates=7, kl_limit=1e9), 5)
    with seeded():
        course = Course(
            tape=rows.tape,
            experience=rows.experience,
            terms=rows.terms,
            settings=replace(settings, learning_rate=0.001, final_learning_rate=0.001, target_rate=0.05),
            seed=5,
            reward=None,
            start=start,
            device="cpu",
        )
        model = qr_dqn.build(course).model
        model.set_logger(Logger(folder=None, output_formats=[]))
        for _ in range(7):
            model.train(1, 256)
    assert adapted.policy.digest == qr_dqn.policy_of(model, settings, 1.0).digest
    assert adapted.updates == 7
    assert adapted.policy.digest != start.digest


def test_same_seed_gives_the_same_weights_and_another_order_of_rows_others(rows, settings, start):
    first, again, other = (adapt(start, rows, settings, STEP, seed) for seed in (1, 1, 2))
    assert first.policy.digest == again.policy.digest != other.policy.digest
    assert first.losses == again.losses
    assert len(first.losses) == 1 + 40 // 20


def test_looking_more_often_changes_nothing_but_the_looks(rows, settings, start):
    free = replace(STEP, kl_limit=1e9)
    once, often = (adapt(start, rows, settings, replace(free, check_every=every), 3) for every in (40, 5))
    assert once.policy.digest == often.policy.digest
    assert len(often.losses) == 9


def test_no_steps_change_nothing(rows, settings, start):
    adapted = adapt(start, rows, settings, replace(STEP, updates=0), 1)
    assert adapted.policy.digest == start.digest
    assert (adapted.updates, adapted.kl, adapted.limited) == (0, 0.0, False)


@pytest.mark.parametrize("limit", [0.3, 0.02, 0.001])
def test_policy_never_leaves_the_limit(limit, rows, settings, start):
    wild = replace(STEP, updates=200, learning_rate=0.02, kl_limit=limit)
    adapted = adapt(start, rows, settings, wild, 1)
    assert adapted.limited
    assert adapted.updates < 200
    assert 0.0 < adapted.kl <= limit
    assert adapted.kl > limit / 20  # as far as it may, nearly
    assert adapted.policy.digest != start.digest


def test_divergence_is_that_of_the_probabilities_the_policy_tells(rows, start, other):
    obs = rows.tape.obs[:50]
    positions = np.array([-1, 0, 1], dtype=np.float32)
    p, q = (Reader.of(policy).table(obs, positions)[:, :, 1:4] for policy in (start, other))
    total = 0.0
    for t in range(50):
        for held in range(3):
            for a in range(3):
                total += p[t, held, a] * (np.log(max(p[t, held, a], 1e-300)) - np.log(max(q[t, held, a], 1e-8)))
    told = adaptation._probabilities(Reader.of(start), obs)
    assert divergence(told, other, obs) == pytest.approx(total / 150, rel=1e-4)
    assert divergence(told, start, obs) == 0.0


def test_weights_that_are_not_finite_are_infinitely_far_and_taken_back(rows, settings, start):
    layers = [list(pair) for pair in start.layers]
    layers[0][0] = layers[0][0].copy()
    layers[0][0][0, 0] = np.nan
    broken = replace(start, layers=tuple(tuple(pair) for pair in layers))
    known = adaptation._probabilities(Reader.of(start), rows.tape.obs[:10])
    assert divergence(known, broken, rows.tape.obs[:10]) == float("inf")
    blown = adapt(start, rows, settings, replace(STEP, learning_rate=1.0, updates=2000, kl_limit=0.5), 1)
    assert adaptation.is_sound(blown.policy)
    assert blown.kl <= 0.5


def test_distance_is_measured_from_the_reference_not_from_the_start(rows, settings, start):
    once = adapt(start, rows, settings, replace(STEP, updates=60, learning_rate=0.003, kl_limit=0.2), 1)
    twice = adapt(
        once.policy, rows, settings, replace(STEP, updates=200, learning_rate=0.02, kl_limit=0.25), 2, reference=start
    )
    assert twice.kl <= 0.25


@pytest.mark.parametrize("threshold", [1.0, 0.1])
def test_loss_has_the_gradient_the_learner_follows(threshold):
    rng = torch.Generator().manual_seed(1)
    current = torch.randn(4, 9, 7, generator=rng, dtype=torch.float64, requires_grad=True)
    target = torch.randn(4, 9, 5, generator=rng, dtype=torch.float64)
    levels = (torch.arange(7, dtype=torch.float64) + 0.5) / 7
    quantile_huber(current, target, levels, threshold).backward()
    written = quantile_huber_gradient(current.detach(), target, levels, threshold)
    assert torch.allclose(current.grad, written, atol=1e-12)


def test_loss_falls_on_rows_where_the_signal_has_turned(world, terms, base, settings, start):
    turned = known_world.tape(flipped(world)).slice(0, 20_000)
    rows = Rows.of(turned, terms, base)
    adapted = adapt(start, rows, settings, replace(STEP, updates=200, learning_rate=0.003, kl_limit=1e9), 1)
    assert adapted.losses[-1] < adapted.losses[0]
    fresh = flipped(yardstick.world(world.settings, 101, "judge"))
    track = {}
    for name, policy in (("start", start), ("adapted", adapted.policy)):
        held = yardstick.hold(known_world.targets_of(policy, fresh.obs))
        track[name] = float((held * fresh.returns).sum() - 0.5 * np.abs(np.diff(held, prepend=0)).sum())
    assert track["start"] < 0 < track["adapted"]


def test_values_keep_the_unit_of_the_base(tape, terms, base):
    rows = Rows.of(tape.slice(30_000, 30_500), terms, base)
    assert rows.experience.bar_cents == base.bar_cents
    alone = experience(tape.slice(30_000, 30_500), terms)
    assert np.array_equal(rows.experience.cents, alone.cents)
    assert np.allclose(rows.experience.rewards * base.bar_cents, alone.cents, atol=1e-2)


def test_rows_come_by_their_weight_and_those_without_never(rows):
    weights = np.zeros(len(rows.tape))
    weights[100:200], weights[300:400] = 1.0, 0.25
    replay = replayed(rows, weights)
    drawn = np.concatenate([replay.draw(200) for _ in range(50)])
    times = np.bincount(drawn, minlength=len(weights))
    assert times[weights == 0].sum() == 0
    assert times[100:200].mean() == pytest.approx(80, rel=0.02)
    assert times[300:400].mean() == pytest.approx(20, rel=0.08)
    assert times[100:200].std() < 5  # far less than independent draws would scatter


def test_rows_of_equal_weight_come_once_each_before_any_comes_again(rows):
    weights = np.zeros(len(rows.tape))
    weights[10:60] = 1.0
    assert sorted(replayed(rows, weights).draw(50)) == list(range(10, 60))


def replayed(rows, weights):
    from gymnasium import spaces

    box = spaces.Box(-1, 1, (rows.tape.width + 1,))
    return WeightedReplay(
        0, box, spaces.Discrete(3), experience=rows.experience, rng=generator(1, "replay"), weights=weights
    )


def test_steps_on_chosen_rows_see_those_rows_alone(rows, settings, start):
    weights = np.zeros(len(rows.tape))
    weights[:1000] = 1.0
    chosen = adapt(start, replace(rows, weights=weights), settings, STEP, 1)
    spoiled = rows.experience.rewards.copy()
    spoiled[1000:] = 1e6
    elsewhere = replace(rows, weights=weights, experience=replace(rows.experience, rewards=spoiled))
    assert adapt(start, elsewhere, settings, STEP, 1).policy.digest == chosen.policy.digest
    assert adapt(start, rows, settings, STEP, 1).policy.digest != chosen.policy.digest


def test_too_few_rows_are_refused(rows, settings, start):
    with pytest.raises(DataError, match="0 rows"):
        adapt(start, replace(rows, weights=np.zeros(len(rows.tape))), settings, STEP, 1)


def test_looking_at_the_loss_draws_nothing(rows, settings, start):
    drawing = replace(settings, target_quantiles=4)
    with seeded():
        model = adaptation.build(start, rows, drawing, STEP, 1, "cpu")
        before = model.replay_buffer.rng.bit_generator.state
        adaptation.loss(model, outcomes(model, rows.experience, np.arange(20)))
    assert model.replay_buffer.rng.bit_generator.state == before


def test_halfway_between_two_policies_is_the_mean_of_their_weights(start):
    far = replace(start, layers=tuple(tuple(part + np.float32(1) for part in pair) for pair in start.layers))
    middle = between(start, far, 0.5)
    assert np.allclose(middle.layers[1][0], start.layers[1][0] + 0.5, atol=1e-6)


def test_regimes_decide_where_they_are_sure_and_the_base_elsewhere(start, other):
    rng = generator(1, "belief")
    belief = rng.dirichlet([0.3, 0.3, 0.3], 400).astype(np.float32)
    obs = rng.standard_normal((400, start.width)).astype(np.float32)
    obs[:, -3:] = belief
    routed = ByRegime(base=start, tuned={1: other}, regimes=3, posterior=0.7)
    assert isinstance(routed, TablePolicy)
    positions = np.array([-1.0, 0.0, 1.0])
    found, plain, tuned = (policy.table(obs, positions) for policy in (routed, start, other))
    sure = belief[:, 1] > 0.7
    assert 20 < sure.sum() < 380
    assert np.array_equal(found[sure], tuned[sure])
    assert np.array_equal(found[~sure], plain[~sure])
    assert all(routed.decide(obs[t], 1.0) == found[t, 2] for t in range(0, 400, 40))


def test_rows_of_a_regime_are_its_sure_ones_or_all_by_its_probability():
    belief = np.array([[0.8, 0.1, 0.1], [0.4, 0.35, 0.25], [0.1, 0.75, 0.15], [0.7, 0.2, 0.1]])
    assert sure_regimes(belief, 0.7).tolist() == [0, -1, 1, -1]
    assert regime_rows(belief, 0, 0.7, "select").tolist() == [1.0, 0.0, 0.0, 0.0]
    assert regime_rows(belief, 1, 0.7, "weights").tolist() == [0.1, 0.35, 0.75, 0.2]


def test_other_learners_are_refused_in_one_line(ppo, qr_dqn):
    check_learner(qr_dqn, "online")
    with pytest.raises(ConfigurationError, match=r"task=online.*ppo.*algo=qr_dqn"):
        check_learner(ppo, "online")


def test_impossible_settings_are_refused_by_name(root):
    import yaml

    def read(group):
        return yaml.safe_load((root / "conf" / group / "default.yaml").read_text(encoding="utf-8"))

    finetune = FinetuneSettings(**read("finetune"))
    meta = MetaSettings(**{k: tuple(v) if isinstance(v, list) else v for k, v in read("meta").items()})
    for settings, field, value in (
        (STEP, "kl_limit", 0.0),
        (finetune, "weighting", "some"),
        (finetune, "learning_rate_low", 0.1),
        (finetune, "level", 1.5),
        (meta, "counts", (1, 5)),
        (meta, "outer_rate", 2.0),
    ):
        with pytest.raises(ConfigurationError, match=field):
            replace(settings, **{field: value})

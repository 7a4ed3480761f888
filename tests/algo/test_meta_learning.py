"""Reptile: its arithmetic by hand, and a family of markets on which nothing but adapting quickly helps."""

from dataclasses import replace

import numpy as np
import pytest

from mia.algo.adaptation import Rows, adapt, untrained
from mia.algo.experience import experience
from mia.algo.meta_learning import Reptile, moved, of_unit
from mia.algo.settings.adaptation import MetaSettings
from mia.domain.errors import ArtefactMismatch, DataError
from mia.domain.rng import generator
from mia.evaluation import known_world
from mia.source import yardstick

META = MetaSettings(
    name="test",
    markets=("ES",),
    posterior=0.7,
    min_rows=100,
    outer_steps=40,
    tasks_per_step=4,
    inner_updates=20,
    inner_rate=0.005,
    batch_rows=128,
    outer_rate=1.0,
    final_outer_rate=0.1,
    counts=(0, 20),
    seeds=2,
)


def turned(world, sign):
    """The world, or the one in which its signal means the opposite."""
    return replace(world, returns=world.returns + (sign - 1) * world.settings.signal * world.alpha)


def rows_of(world):
    tape, terms = known_world.tape(world), known_world.terms(world.settings)
    return Rows(tape=tape, terms=terms, experience=experience(tape, terms), weights=None)


@pytest.fixture(scope="module")
def settings(qr_dqn):
    return replace(qr_dqn, network=(32, 32), quantiles=11, target_quantiles=0)


@pytest.fixture(scope="module")
def few(world_settings):
    return replace(world_settings, train_rows=20_000, distractors=2, signal=0.2)


@pytest.fixture(scope="module")
def tasks(few):
    return {
        f"{sign:+d} {seed}": rows_of(turned(yardstick.world(few, seed, "train"), sign))
        for sign in (1, -1)
        for seed in (200, 201)
    }


@pytest.fixture(scope="module")
def start(tasks, settings):
    return untrained(next(iter(tasks.values())), settings, 1)


def earned(policy, world, sign):
    """Share of the optimum on a world's rows, in expectation given the signal."""
    held = yardstick.hold(known_world.targets_of(policy, world.obs))
    profit, cost, _ = yardstick.expected_profit(world, held)
    return (sign * (profit + cost) - cost) / len(world) / yardstick.optimum(world.settings).per_bar


def test_a_move_is_a_share_of_the_way_to_the_mean(start):
    def plus(amount):
        return replace(start, layers=tuple(tuple(part + np.float32(amount) for part in pair) for pair in start.layers))

    found = moved(start, [plus(1.0), plus(3.0)], 0.25)
    for (before, _), (after, bias) in zip(start.layers, found.layers, strict=True):
        assert np.allclose(after - before, 0.5, atol=1e-5)
        assert after.dtype == bias.dtype == np.float32


def test_one_task_and_a_whole_move_is_plain_adaptation(tasks, settings, start):
    only = dict(list(tasks.items())[:1])
    learner = Reptile(only, settings, replace(META, tasks_per_step=1, inner_updates=3), 7, start)
    learner.step()
    rows = next(iter(only.values()))
    rng = generator(7, "meta", "tasks", "0")
    rng.permutation(1)
    alone = adapt(of_unit(start, rows), rows, settings, META.step(3), int(rng.integers(2**31)))
    assert learner.policy.digest == alone.policy.digest
    assert (learner.outer, learner.inner) == (1, 3)


def test_moves_shorten_from_the_first_to_the_last(tasks, settings, start):
    learner = Reptile(tasks, settings, replace(META, outer_steps=3), 1, start)
    rates = []
    for outer in range(3):
        learner.outer = outer
        rates.append(learner.rate)
    assert rates == pytest.approx([1.0, 0.55, 0.1])


def test_it_goes_on_from_its_state_bit_for_bit(tasks, settings, start):
    quick = replace(META, inner_updates=2, outer_steps=4)
    whole, first = (Reptile(tasks, settings, quick, 3, start) for _ in range(2))
    for _ in range(4):
        whole.step()
    first.step()
    first.step()
    second = Reptile(tasks, settings, quick, 3, start)
    second.restore(first.state())
    second.step()
    second.step()
    assert second.policy.digest == whole.policy.digest != start.digest
    assert second.inner == whole.inner == 32


def test_twenty_steps_from_the_learned_start_reach_what_random_weights_do_not(tasks, settings, start, few):
    learner = Reptile(tasks, settings, META, 1, start)
    for _ in range(META.outer_steps):
        learner.step()
    fresh, judged = yardstick.world(few, 300, "train"), yardstick.world(few, 300, "judge")
    reached = {}
    for sign in (1, -1):
        rows = rows_of(turned(fresh, sign))
        for name, policy in (("meta", learner.policy), ("scratch", untrained(rows, settings, 5))):
            for count in (0, 20):
                after = adapt(of_unit(policy, rows), rows, settings, META.step(count), 2).policy
                reached[name, sign, count] = earned(after, judged, sign)
    for sign in (1, -1):
        # Which of the two signs it is cannot be known beforehand: it is learned in the twenty steps.
        assert reached["meta", sign, 0] < 0.3
        assert reached["meta", sign, 20] > 0.7
        assert reached["meta", sign, 20] > reached["scratch", sign, 20] + 0.1


def test_tasks_seen_otherwise_and_no_task_are_refused(tasks, settings, start):
    with pytest.raises(DataError, match="needs a task"):
        Reptile({}, settings, META, 1, start)
    rows = next(iter(tasks.values()))
    narrow = replace(rows.tape, obs=np.ascontiguousarray(rows.tape.obs[:, :2]))
    with pytest.raises(ArtefactMismatch, match="columns"):
        Reptile({"odd": replace(rows, tape=narrow)}, settings, META, 1, start)

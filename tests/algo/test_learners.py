"""The learners learn, are reproducible, leave global state alone, and stop trading where nothing is to be had."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mia.algo import LEARNERS, learner
from mia.algo.experience import experience
from mia.algo.learning import Course, cosine, seeded
from mia.algo.policy import weights_digest
from mia.algo.ppo import build
from mia.algo.qr_dqn import CounterfactualQRDQN, all_positions, quantile_huber_gradient
from mia.algo.settings import PPOSettings, QRDQNSettings
from mia.algo.settings.effort import shortened
from mia.broker.terms import Terms
from mia.desk.accounting import COST
from mia.desk.backtest import run_policy
from mia.desk.policy import TablePolicy
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation import known_world
from mia.risk.limits import unlimited
from mia.source import yardstick


def test_qr_dqn_learns_most_of_the_optimum_from_50_000_rows(trained, judge_world):
    assert known_world.judge(trained, judge_world)["fraction"] > 0.6
    assert not trained.abstains


def test_judgement_agrees_with_the_accounting_kernel(trained, judge_world, world_settings):
    tape, terms = known_world.tape(judge_world), known_world.terms(world_settings)
    track = run_policy(tape, trained, terms, unlimited(), close_at_end=False)
    judged = known_world.judge(trained, judge_world)
    assert track.cost_cents[-1] == pytest.approx(1000 * judged["cost"] * len(tape), abs=1000)
    held = np.append(track.position[1:], 0)
    rounded = np.rint(1000 * judge_world.returns).astype(np.int64)
    assert track.gross_cents[-1] == (held[:-1] * rounded[:-1]).sum()


def test_policy_offers_the_desk_its_table(trained, tape, terms):
    assert isinstance(trained, TablePolicy)

    class OneByOne:
        def decide(self, obs, position):
            return trained.decide(obs, position)

    part = tape.slice(0, 500)
    at_once = run_policy(part, trained, terms, unlimited())
    singly = run_policy(part, OneByOne(), terms, unlimited())
    assert np.array_equal(at_once.equity_cents, singly.equity_cents)
    assert np.array_equal(at_once.position, singly.position)


@pytest.mark.parametrize("name", ["qr_dqn", "ppo"])
def test_same_seed_gives_the_same_weights_and_another_seed_others(name, request, tape, terms):
    first = request.getfixturevalue({"qr_dqn": "trained", "ppo": "trained_ppo"}[name])
    settings = request.getfixturevalue(name)
    quick = {"qr_dqn": {"updates": 500, "target_quantiles": 0}, "ppo": {"frames": 3 * 4096}}[name]
    again = learner(name)(tape, terms, replace(settings, **quick), 100)
    few = {"qr_dqn": {"updates": 50}, "ppo": {"frames": 4096}}[name]
    other = learner(name)(tape, terms, replace(settings, **few), 101)
    assert again.card["weights_sha256"] == first.card["weights_sha256"] == first.digest
    assert other.digest != learner(name)(tape, terms, replace(settings, **few), 100).digest


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from test_learners import EFFORT, learned_in_short
for name in EFFORT:
    print(learned_in_short(name).digest)
"""
EFFORT = {"ppo_lagrangian": 0.02, "qr_dqn": 0.05, "ensemble": 0.04}
"""Share of a whole training. The ensemble's digest is that of its members: sac, ppo and ddpg."""


def learned_in_short(name):
    """A policy of one learner's default option, from a small yardstick; needs no fixture, so any process can ask."""
    from mia.task import command_line

    settings = command_line.compose(["experiment=yardstick", f"algo={name}"])
    market = replace(settings.source, train_rows=6000)
    tape = known_world.tape(yardstick.world(market, 100, "train"))
    return learner(name)(tape, known_world.terms(market), shortened(settings.algo, EFFORT[name]), 100)


def test_another_process_gives_the_same_weights_for_every_learner(root):
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root / "tests" / "algo")],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    here = {name: learned_in_short(name) for name in EFFORT}
    assert {*here, *here["ensemble"].members} == set(LEARNERS)
    assert ran.stdout.split() == [policy.digest for policy in here.values()]


def test_training_leaves_the_global_random_states_alone(tape, terms, qr_dqn):
    def draws():
        return random.random(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002

    def seed():
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)

    seed()
    undisturbed = draws()
    seed()
    learner("qr_dqn")(tape.slice(0, 2000), terms, replace(qr_dqn, updates=50), 5)
    assert draws() == undisturbed


@pytest.mark.parametrize("name", ["qr_dqn", "ppo"])
def test_null_market_is_not_traded(name, request, world_settings, terms):
    null = yardstick.null(world_settings)
    quick = {"qr_dqn": {"updates": 400}, "ppo": {"frames": 3 * 4096}}[name]
    settings = replace(request.getfixturevalue(name), **quick)
    policy = learner(name)(known_world.tape(yardstick.world(null, 100, "train")), terms, settings, 100)
    judged = known_world.judge(policy, yardstick.world(null, 100, "judge"), world_settings)
    assert judged["cost_fraction"] < 0.02


def test_ppo_learns_something_in_a_few_rounds(ppo, tape, terms, judge_world):
    policy = learner("ppo")(tape, terms, replace(ppo, frames=80_000), 100)
    trading = replace(policy, abstains=False)
    assert known_world.judge(trading, judge_world)["fraction"] > 0.2


def test_card_is_json_and_says_what_happened(trained, qr_dqn):
    card = json.loads(json.dumps(dict(trained.card)))
    assert card["algo"] == "qr_dqn"
    assert card["settings"]["network"] == list(qr_dqn.network)
    assert len(card["curve"]) == qr_dqn.validation.checkpoints
    assert card["selected_step"] in [int(look["step"]) for look in card["curve"]]
    assert card["weights_sha256"] == weights_digest(list(trained.layers))


def test_progress_hears_of_the_start_and_every_checkpoint(tape, terms, qr_dqn):
    heard = []
    learner("qr_dqn")(tape.slice(0, 2000), terms, replace(qr_dqn, updates=500), 5, lambda *told: heard.append(told))
    assert heard[0] == (0, 10, {})
    assert [done for done, _, _ in heard[1:]] == [5, 7, 8, 9, 10]
    assert set(heard[-1][2]) == {
        "step",
        "profit_cents_per_bar",
        "trades_per_1000_bars",
        "quantiles",
        "policy",
        "looking_s",
    }


def test_prohibitive_cost_teaches_not_to_trade(tape, qr_dqn):
    dear = Terms(tick_value_cents=1, side_cost_cents=20_000)
    policy = learner("qr_dqn")(tape, dear, replace(qr_dqn, updates=200), 100)
    assert policy.abstains
    assert policy.card["validation_trades"] < 20
    assert (policy.card["abstains_because"], policy.card["breach"]) == ("luck", None)


def test_step_size_falls_from_start_to_end_as_half_a_cosine():
    rate = cosine(1.0, 0.2)
    assert [rate(1.0), rate(0.5), rate(0.0)] == pytest.approx([1.0, 0.6, 0.2])


def test_unknown_algorithm_and_impossible_settings_are_refused(qr_dqn, ppo):
    with pytest.raises(ConfigurationError, match="ppo, ppo_lagrangian, qr_dqn"):
        learner("sarsa")
    for settings, field, value in (
        (qr_dqn, "discount", 1.0),
        (qr_dqn, "network", ()),
        (qr_dqn, "target_quantiles", 52),
        (qr_dqn.validation, "share", 0.0),
        (ppo, "batch_frames", 10**9),
        (ppo, "kind", "qr_dqn"),
    ):
        with pytest.raises(ConfigurationError, match=field):
            replace(settings, **{field: value})


def test_settings_and_registry_import_without_torch():
    code = "import sys, mia.algo, mia.algo.settings; print('torch' in sys.modules, 'numba' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]
    assert {QRDQNSettings.__name__, PPOSettings.__name__} == {"QRDQNSettings", "PPOSettings"}


def test_ppo_that_starts_from_a_policy_pays_costs_in_full_at_once(trained_ppo, ppo, tape, terms):
    """Free trades would teach a policy that trades well to trade too often."""
    settings = replace(ppo, cost_warmup=0.5)
    course = Course(
        tape=tape,
        experience=experience(tape, terms),
        terms=terms,
        settings=settings,
        seed=0,
        reward=None,
        start=None,
        device="cpu",
    )
    first_costs = []
    for start in (None, trained_ppo):
        with seeded():
            env = build(replace(course, start=start)).model.get_env()
        env.reset()
        env.step(np.full(env.num_envs, 2))
        first_costs.append(set(env.accounts[:, COST]))
    assert first_costs == [{0}, {terms.side_cost_cents}]


@pytest.mark.parametrize("drawn", [0, 2])
def test_scores_targets_and_loss_of_qr_dqn_stay_on_their_device(drawn):
    """Torch's meta device holds no numbers but refuses, as a GPU does, what lies elsewhere."""
    n, rows = 5, 4
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3 * n)).to("meta")
    market, reward = torch.empty(rows, 5, device="meta"), torch.empty(rows, 3, 3, device="meta")
    held = torch.empty(rows, 3, 3, dtype=torch.int64, device="meta")
    model = SimpleNamespace(
        n_quantiles=n,
        target_quantiles=drawn,
        gamma=0.9,
        quantile_net_target=SimpleNamespace(quantile_net=network),
        replay_buffer=SimpleNamespace(rng=generator(0, "test")),
    )
    targets = CounterfactualQRDQN._targets(model, market, reward, held)
    assert targets.shape == (rows, 9, drawn or 1)
    current = all_positions(network, market).view(rows, 3, n, 3).transpose(2, 3).reshape(rows, 9, n)
    gradient = quantile_huber_gradient(current, targets, torch.empty(n, device="meta"), 0.1)
    assert (gradient.shape, gradient.device.type) == ((rows, 9, n), "meta")

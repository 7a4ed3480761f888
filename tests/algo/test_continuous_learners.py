"""SAC and DDPG learn when to hold, are reproducible, and trade exactly as their compiled policy says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from mia.algo import checkpoint, learner
from mia.algo.continuous import Critics, climb, spread
from mia.algo.continuous_replay import Transitions
from mia.algo.experience import experience
from mia.algo.learning import Course
from mia.algo.settings import DDPGSettings, SACSettings, ValidationSettings
from mia.broker.terms import Terms
from mia.desk.accounting import contracts_of
from mia.desk.backtest import run_policy
from mia.domain.errors import ArtefactMismatch, ConfigurationError
from mia.evaluation import known_world
from mia.risk.limits import unlimited
from mia.source import yardstick

KINDS = ("sac", "ddpg")
WHOLE = np.array([-1.0, 0.0, 1.0], dtype=np.float32)


def option(root, name):
    """Settings of an option of conf/algo."""
    read = yaml.safe_load((root / "conf" / "algo" / f"{name}.yaml").read_text(encoding="utf-8"))
    bases = [base for base in read.pop("defaults", []) if base != "_self_"]
    for base in bases:
        read = yaml.safe_load((root / "conf" / "algo" / f"{base}.yaml").read_text(encoding="utf-8")) | read
    read |= {"network": tuple(read["network"]), "validation": ValidationSettings(**read["validation"])}
    return {"sac": SACSettings, "ddpg": DDPGSettings}[read["kind"]](**read)


@pytest.fixture(scope="session")
def algo(root):
    return lambda name: option(root, name)


def quick(algo, kind, **changes):
    """The fast preset with fewer steps and smaller networks."""
    settings = replace(algo(f"{kind}_fast"), network=(32, 32), updates=600, learning_rate=0.008)
    return replace(settings, **changes)


def student(kind, course):
    from mia.algo import ddpg, sac

    return {"sac": sac, "ddpg": ddpg}[kind].build(course)


def course_of(tape, terms, settings, start=None):
    learned = experience(tape, terms)
    return Course(
        tape=tape, experience=learned, terms=terms, settings=settings, seed=7, reward=None, start=start,
        device="cpu", choosing=tape,
    )  # fmt: skip


def actor_of(kind, model):
    return model.slow_actor if kind == "sac" else model.actor_target


@pytest.fixture(scope="module")
def learned(algo, tape, terms):
    """A quickly trained policy of each kind."""
    return {kind: learner(kind)(tape, terms, quick(algo, kind), 100) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_most_of_the_optimum_is_learned_in_seconds(kind, learned, judge_world):
    assert not learned[kind].abstains
    assert known_world.judge(learned[kind], judge_world)["fraction"] > 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_the_position_is_held_inside_a_band_and_turned_outside(kind, learned, judge_world):
    targets = known_world.targets_of(learned[kind], judge_world.obs)
    weak, strong = np.abs(judge_world.alpha) < 0.2, judge_world.alpha > 1.8
    assert (targets[weak] == [-1, 0, 1]).mean() > 0.8
    opposite = judge_world.alpha < -1.8
    assert (targets[strong, 1:] == 1).mean() > 0.8
    assert (targets[opposite, :2] == -1).mean() > 0.8
    assert (targets[strong, 0] >= 0).mean() > 0.8
    assert (targets[opposite, 2] <= 0).mean() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_targets_are_those_of_the_librarys_actor(kind, algo, tape, terms):
    part = tape.slice(0, 3000)
    made = student(kind, course_of(part, terms, quick(algo, kind)))
    with torch.random.fork_rng(devices=[]):
        made.model.learn(2, log_interval=None)
    policy, actor = made.policy(), actor_of(kind, made.model)
    table = policy.table(part.obs, WHOLE)
    for p, held in enumerate(WHOLE):
        obs = torch.from_numpy(np.column_stack([part.obs, np.full(len(part), held)]))
        with torch.no_grad():
            torch.testing.assert_close(
                torch.from_numpy(table[:, p]).float(), actor._predict(obs, deterministic=True)[:, 0], atol=2e-6, rtol=0
            )
    singly = [[policy.decide(part.obs[t], held) for held in WHOLE] for t in range(50)]
    assert np.array_equal(table[:50], singly)
    assert policy.actions == "continuous"
    assert policy.n_quantiles == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_backtest_fills_the_rounded_targets(kind, learned, tape, terms):
    part = tape.slice(0, 2000)
    track = run_policy(part, learned[kind], terms, unlimited())
    wishes = contracts_of(learned[kind].table(part.obs, WHOLE), 1)
    held = 0
    for t in range(len(part) - 2):
        held = wishes[t, held + 1]
        assert track.position[t + 1] == held
    assert abs(track.position).max() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_other_weights(kind, algo, world_settings, terms):
    small = replace(world_settings, train_rows=6000, judge_rows=6000)
    tape = known_world.tape(yardstick.world(small, 100, "train"))
    settings = replace(algo(f"{kind}_fast"), network=(16, 16), updates=100)
    one, other = (learner(kind)(tape, terms, settings, seed).digest for seed in (100, 101))
    assert one != other


@pytest.mark.parametrize("kind", KINDS)
def test_null_market_is_not_traded_and_neither_is_a_dear_one(kind, algo, world_settings, tape, terms):
    null = yardstick.null(replace(world_settings, train_rows=20_000, judge_rows=20_000))
    settings = quick(algo, kind, updates=200)
    policy = learner(kind)(known_world.tape(yardstick.world(null, 100, "train")), terms, settings, 100)
    judged = known_world.judge(policy, yardstick.world(null, 100, "judge"), world_settings)
    assert judged["cost_fraction"] < 0.02
    dear = learner(kind)(tape.slice(0, 20_000), Terms(tick_value_cents=1, side_cost_cents=20_000), settings, 100)
    assert dear.abstains


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_start_keeps_what_was_known_while_the_critic_learns(kind, algo, learned, tape, terms):
    settings = quick(algo, kind, updates=200, critic_first=0.5)
    made = student(kind, course_of(tape, terms, settings, start=learned[kind]))
    assert made.policy().digest == learned[kind].digest
    critic = [p.detach().clone() for p in made.model.critic.parameters()]
    with torch.random.fork_rng(devices=[]):
        made.model.learn(2, log_interval=None)
        assert made.policy().digest == learned[kind].digest
        assert not all(torch.equal(a, b) for a, b in zip(critic, made.model.critic.parameters(), strict=True))
        made.model.learn(2, log_interval=None, reset_num_timesteps=False)
    assert made.policy().digest != learned[kind].digest
    with pytest.raises(ArtefactMismatch, match="same network"):
        student(kind, course_of(tape, terms, replace(settings, network=(8,)), start=learned[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_say_nothing_shrink_and_the_accounts_own_do_not(kind, algo, tape, terms):
    part = tape.slice(0, 20_000)
    made = student(kind, course_of(part, terms, quick(algo, kind, input_sparsity=1e3, weight_decay=0.0, updates=100)))
    with torch.random.fork_rng(devices=[]):
        made.model.learn(2, log_interval=None)
    layer = made.model.critic.q_networks[0][0].weight
    assert not layer[:, :-2].any(), "so strong a lasso leaves no market column"
    assert layer[:, -2:].norm(dim=0).min() > 0.1
    actor = made.policy().layers[0][0]
    assert np.abs(actor[:, -1]).max() > 0.1
    # The slow copy keeps a share of what the actor began with.
    assert np.abs(actor[:, :-1]).max() < 0.01


def test_sac_adjusts_its_temperature_towards_a_target_entropy(algo, tape, terms):
    part = tape.slice(0, 5000)
    for target, rises in ((0.6, True), (-15.0, False)):
        settings = quick(algo, "sac", temperature=0.01, target_entropy=target, updates=100)
        made = student("sac", course_of(part, terms, settings))
        with torch.random.fork_rng(devices=[]):
            made.model.learn(2, log_interval=None)
        assert (made.figures()["temperature"] > 0.01) == rises
    fixed = student("sac", course_of(part, terms, quick(algo, "sac", temperature=0.02)))
    assert fixed.figures()["temperature"] == pytest.approx(0.02)


def network(inputs):
    return torch.nn.Sequential(torch.nn.Linear(inputs, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))


def test_spread_equals_the_network_asked_case_by_case():
    torch.manual_seed(0)
    net, market, p, a = network(7), torch.randn(10, 5), torch.randn(10, 4), torch.randn(10, 4)
    out = spread(net, market, p, a)
    for k in range(4):
        torch.testing.assert_close(out[:, k], net(torch.cat([market, p[:, k : k + 1], a[:, k : k + 1]], dim=1)))


def test_the_least_critic_counts_and_the_price_of_the_trade_is_taken_off():
    torch.manual_seed(0)
    nets, market, p, a = [network(7), network(7)], torch.randn(10, 5), torch.randn(10, 4), torch.randn(10, 4)
    said = torch.stack([spread(net, market, p, a)[..., 0] for net in nets])
    torch.testing.assert_close(Critics(nets, 0.3)(market, p, a), said.min(dim=0).values - 0.3 * (a - p).abs())


def test_critics_whose_values_are_right_have_no_loss():
    torch.manual_seed(0)
    net, market, p, a = network(7), torch.randn(10, 5), torch.randn(10, 4), torch.randn(10, 4)
    critics = Critics([net], 0.3)
    seen = Transitions(market, market, p, a, torch.zeros(10, 4), a)
    values = critics(market, p, a).detach()
    assert critics.loss(seen, values).item() == pytest.approx(0.0, abs=1e-12)
    assert critics.loss(seen, values + 2.0).item() == pytest.approx(2.0)


def test_the_slope_is_that_of_the_value_and_leaves_the_networks_alone():
    torch.manual_seed(0)
    net = network(7).double()
    market, p, a = (torch.randn(shape, dtype=torch.float64) for shape in ((10, 5), (10, 4), (10, 4)))
    critics = Critics([net], 0.3)
    slope = climb(critics, market, p, a)
    rise = (critics(market, p, a + 1e-7) - critics(market, p, a - 1e-7)) / 2e-7
    torch.testing.assert_close(slope, rise.detach(), atol=1e-6, rtol=1e-6)
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_impossible_settings_are_refused(kind, algo):
    settings = algo(kind)
    assert settings.network == (256, 128, 64)
    wrong = {"pairs": 1, "positions": 2, "critics": 0, "discount": 1.0, "updates_per_step": 10**9, "kind": "ppo",
             "policy_rate": 0.0, "critic_first": 1.0, "final_learning_rate": 1.0, "network": ()}  # fmt: skip
    for field, value in wrong.items():
        with pytest.raises(ConfigurationError, match=field):
            replace(settings, **{field: value})
    if kind == "sac":
        for field, value in (("temperature", 0.0), ("target_entropy", 1.0)):
            with pytest.raises(ConfigurationError, match=field):
                replace(settings, **{field: value})


class Stopping:
    """A keeper on disk that asks to stop at one boundary, as Ctrl-C does."""

    def __init__(self, path, at):
        self.path, self.at, self.boundaries = path, at, 0

    def result(self):
        return None

    def finish(self, policy):
        self.path.unlink()

    def load(self):
        return checkpoint.read(self.path, {"what": "a test"})

    def is_due(self):
        return False

    def save(self, state):
        checkpoint.write(self.path, state, {"what": "a test"})

    def is_stopping(self):
        self.boundaries += 1
        return self.boundaries == self.at


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_warm_start_goes_on_bit_for_bit(kind, algo, learned, tape, terms, tmp_path):
    more = {"target_entropy": -2.0, "temperature": 0.01} if kind == "sac" else {}
    settings = quick(algo, kind, updates=400, critic_first=0.3, critics=2, **more)
    part, path = tape.slice(0, 10_000), tmp_path / "state.ckpt"
    whole = learner(kind)(part, terms, settings, 5, start=learned[kind])
    for at in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            learner(kind)(part, terms, settings, 5, start=learned[kind], keeper=Stopping(path, at))
    resumed = learner(kind)(part, terms, settings, 5, start=learned[kind], keeper=Stopping(path, 99))
    assert resumed.digest == whole.digest
    assert [look["profit_cents_per_bar"] for look in resumed.card["curve"]] == [
        look["profit_cents_per_bar"] for look in whole.card["curve"]
    ]

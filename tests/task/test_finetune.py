"""Fine-tuning by regime on a market whose signal means the opposite in one regime, which the base cannot know."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from mia.algo import learner
from mia.algo.by_regime import ByRegime
from mia.algo.experience import experience
from mia.algo.selection import split
from mia.algo.settings import QRDQNSettings
from mia.algo.settings.adaptation import FinetuneSettings
from mia.desk.backtest import run_policy
from mia.domain.rng import generator
from mia.evaluation import known_world
from mia.risk.limits import unlimited
from mia.source import yardstick
from mia.source.yardstick_settings import YardstickSettings
from mia.task import finetune, schema

SPAN = 500
"""Rows of a stretch of one regime."""


def read(root, path):
    return yaml.safe_load((root / "conf" / path).read_text(encoding="utf-8"))


class Memory:
    """A keeper that keeps in memory and stops after some trials."""

    def __init__(self, stop_after=None):
        self.state, self.asked, self.stop_after = None, 0, stop_after

    def part(self, name):
        return self

    def load(self):
        return self.state

    def save(self, state):
        self.state = state

    def is_stopping(self):
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after


def market(root, rows, seed, signs):
    """A tape whose signal has the sign of the regime of its stretch; the belief is right with 0.9."""
    source = YardstickSettings(**read(root, "source/yardstick.yaml"))
    world = yardstick.world(replace(source, train_rows=rows, cost=0.2, signal=0.2), seed, "train")
    state = (np.arange(rows) // SPAN) % 3
    sign = np.array(signs)[state]
    returns = world.returns + (sign - 1) * world.settings.signal * world.alpha
    belief = np.full((rows, 3), 0.05)
    belief[np.arange(rows), state] = 0.9
    # The base is shown the signal alone; the last columns are the belief as in every market's observation, but it
    # has been told nothing by them.
    obs = np.concatenate([world.obs[:, :1], belief.astype(np.float32)], axis=1)
    tape = known_world.lay_out(returns, obs, world.settings.ticks_per_unit, belief)
    return tape, known_world.terms(world.settings)


@pytest.fixture(scope="module")
def settings(root):
    algo = schema.build(QRDQNSettings, read(root, "algo/qr_dqn.yaml"), "algo")
    algo = replace(algo, network=(32, 32), updates=300, learning_rate=0.007, target_quantiles=0, batch_rows=128)
    tuning = schema.build(FinetuneSettings, read(root, "finetune/default.yaml"), "finetune")
    tuning = replace(tuning, trials=4, startup_trials=2, batch_rows=128, min_rows=500)
    tuning = replace(tuning, learning_rate_low=0.001, learning_rate_high=0.005, kl_low=5.0, kl_high=20.0)
    tuning = replace(tuning, updates_low=60, updates_high=120)
    return SimpleNamespace(seed=100, device="cpu", algo=algo, finetune=tuning)


def based(root, settings, signs, keeper=None, log=None):
    """A fold whose base was trained where all regimes mean the same."""
    plain, terms = market(root, 30_000, 1, (1, 1, 1))
    tape, _ = market(root, 30_000, 2, signs)
    policy = learner("qr_dqn")(plain, terms, settings.algo, 100)
    learn, choose = split(tape, settings.algo.validation)
    told = [] if log is None else log
    return SimpleNamespace(
        index=0,
        steps=6,
        policy=policy,
        learn=learn,
        choose=choose,
        experience=experience(learn, terms),
        terms=terms,
        keeper=keeper or Memory(),
        log=SimpleNamespace(log=lambda step, figures: told.append((step, figures))),
    )


@pytest.fixture(scope="module")
def base(root, settings):
    return based(root, settings, (1, -1, 1))


def test_regime_in_which_the_signal_turns_is_learned_and_pays_on_fresh_rows(root, base, settings):
    log = []
    base.log.log = lambda step, figures: log.append((step, figures))
    base.keeper = Memory()
    search = finetune.Search(settings, base, 1)
    assert list(search.trials()) == [1, 2, 3, 4]
    choice = search.choose()
    told = search.told(choice)
    assert told["used"]
    assert told["chance"] <= 0.05
    assert told["gain_usd"] > 0
    assert [figures["trial_number"] for _, figures in log] == [0, 1, 2, 3]
    assert all(np.isfinite(figures["finetune_loss"]) for _, figures in log)
    fresh, terms = market(root, 20_000, 3, (1, -1, 1))
    routed = ByRegime(base=base.policy, tuned={1: choice.candidate.policy}, regimes=3, posterior=0.7)
    tuned = run_policy(fresh, routed, terms, unlimited()).equity_cents[-1]
    still = run_policy(fresh, base.policy, terms, unlimited()).equity_cents[-1]
    assert tuned > still


def test_regime_the_base_already_knows_falls_back_to_it(root, base, settings):
    base.keeper = Memory()
    gentle = replace(settings.finetune, kl_low=0.001, kl_high=0.01)
    search = finetune.Search(SimpleNamespace(**{**vars(settings), "finetune": gentle}), base, 0)
    for _ in search.trials():
        pass
    assert not search.told(search.choose())["used"]
    assert all(trial["kl"] <= trial["kl_limit"] <= 0.01 for trial in search.done)


def test_interrupted_search_goes_on_as_it_would_have(base, settings):
    base.keeper = Memory()
    whole = finetune.Search(settings, base, 1)
    list(whole.trials())
    keeper = base.keeper = Memory(stop_after=3)
    first = finetune.Search(settings, base, 1)
    with pytest.raises(KeyboardInterrupt):
        list(first.trials())
    assert len(keeper.state["trials"]) == 3
    keeper.stop_after = None
    second = finetune.Search(settings, base, 1)
    list(second.trials())
    for a, b in zip(whole.done, second.done, strict=True):
        assert {k: v for k, v in a.items() if k != "policy"} == {k: v for k, v in b.items() if k != "policy"}
    assert whole.choose().candidate.policy.digest == second.choose().candidate.policy.digest


def test_test_rows_and_other_regimes_rows_shape_nothing(base, settings):
    base.keeper = Memory()
    search = finetune.Search(settings, base, 1)
    used = search.rows.used()
    assert set((used // SPAN) % 3) == {1}
    assert used.max() < len(base.learn)
    assert len(base.learn) + settings.algo.validation.purge_rows + len(base.choose) == 30_000


def test_choice_among_many_trials_without_worth_is_called_luck(base, settings):
    base.keeper = Memory()
    called = 0
    for seed in range(30):
        search = finetune.Search(SimpleNamespace(**{**vars(settings), "seed": seed}), base, 0)
        rng = generator(seed, "luck")
        for number in range(12):
            search.validation.see(number, base.policy)
            worthless = rng.standard_normal(settings.algo.validation.blocks)
            search.validation.candidates[-1] = replace(search.validation.candidates[-1], blocks=worthless)
        called += not search.choose().abstains
    assert called <= 6  # 5 % of 30, and four deviations

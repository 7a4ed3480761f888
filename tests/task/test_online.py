"""Online learning on the yardstick: it stays with a good champion, leaves a bad one, and poison promotes nobody."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from mia.algo import learner
from mia.algo.adaptation import Rows, adapt
from mia.algo.experience import experience
from mia.algo.selection import split
from mia.algo.settings import QRDQNSettings
from mia.desk.backtest import run_policy
from mia.evaluation import known_world
from mia.evaluation.shadow import awake, one_track
from mia.risk.limits import unlimited
from mia.source import yardstick
from mia.source.yardstick_settings import YardstickSettings
from mia.task import online, schema
from mia.task.online_settings import OnlineSettings
from mia.task.watch import Watch

TRAINED, GAP, ROWS, WINDOW = 50_000, 1000, 16_000, 500


def read(root, path):
    return yaml.safe_load((root / "conf" / path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def settings(root):
    found = schema.build(OnlineSettings, read(root, "online/default.yaml"), "online")
    step = replace(found.step, updates=20, check_every=20, batch_rows=128)
    found = replace(found, window_bars=WINDOW, memory_windows=16, step=step)
    algo = schema.build(QRDQNSettings, read(root, "algo/qr_dqn.yaml"), "algo")
    algo = replace(algo, network=(64, 64), updates=600, learning_rate=0.007, target_quantiles=0)
    return SimpleNamespace(seed=100, device="cpu", algo=algo, online=found)


@pytest.fixture(scope="module")
def world(root):
    source = YardstickSettings(**read(root, "source/yardstick.yaml"))
    return yardstick.world(replace(source, train_rows=TRAINED + GAP + ROWS), 100, "train")


@pytest.fixture(scope="module")
def champion(world, settings):
    tape, terms = known_world.tape(world).slice(0, TRAINED), known_world.terms(world.settings)
    return learner("qr_dqn")(tape, terms, settings.algo, 100)


class Memory:
    """A keeper that keeps in memory and stops after some windows."""

    def __init__(self, stop_after=None):
        self.state, self.asked, self.stop_after = None, 0, stop_after

    def load(self):
        return self.state

    def save(self, state):
        self.state = state

    def is_due(self):
        return False

    def is_stopping(self):
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after


def based(world, settings, champion, keeper, log, rows):
    tape, terms = known_world.tape(world), known_world.terms(world.settings)
    learn, _ = split(tape.slice(0, TRAINED), settings.algo.validation)
    fold = SimpleNamespace(index=0, train=slice(0, TRAINED), test=slice(TRAINED + GAP, TRAINED + GAP + rows))
    return SimpleNamespace(
        index=0,
        steps=30,
        policy=champion,
        taught=SimpleNamespace(tape=tape, state=SimpleNamespace(fold=fold)),
        learn=learn,
        experience=experience(learn, terms),
        terms=terms,
        headline=terms,
        bounds=unlimited(),
        keeper=keeper,
        log=SimpleNamespace(log=lambda step, figures: log.append((step, figures))),
    )


def walked(world, settings, champion, tmp_path, keeper=None, rows=ROWS):
    log = []
    base = based(world, settings, champion, keeper or Memory(), log, rows)
    work = SimpleNamespace(settings=settings, watch=Watch(quiet=True), directory=tmp_path)
    walk = online.walked(work, base)
    tape = base.taught.tape.slice(TRAINED + GAP, TRAINED + GAP + rows)
    still = run_policy(tape, champion, base.headline, base.bounds)
    return walk, one_track(walk.pieces, base.headline).equity_cents, still.equity_cents, log


def turned(world, at):
    """The world whose signal means the opposite from row `at` on."""
    returns = world.returns.copy()
    returns[at:] -= 2 * world.settings.signal * world.alpha[at:]
    return replace(world, returns=returns)


def test_good_champion_goes_on_trading_and_loses_nothing_by_being_watched(world, settings, champion, tmp_path):
    walk, live, still, log = walked(world, settings, champion, tmp_path)
    assert still[-1] > 0
    gap = np.diff(live[::WINDOW]) - np.diff(still[::WINDOW])
    assert gap.sum() >= -2 * max(gap.std() * len(gap) ** 0.5, 1.0)
    assert len(walk.rows) == ROWS // WINDOW
    assert walk.updates == sum(20 for _ in walk.rows)
    assert log[-1][1]["online_learning_steps"] == walk.updates
    assert log[-1][0] == 30 + walk.updates
    assert all(row["kl"] <= settings.online.step.kl_limit for row in walk.rows)


def test_turned_market_ends_the_champion_and_online_learning_loses_less(world, settings, champion, tmp_path):
    bad = turned(world, TRAINED + GAP + 3000)
    walk, live, still, _ = walked(bad, settings, champion, tmp_path)
    events = [event for row in walk.rows for event in row["events"]]
    assert events
    assert all(event["window"] > 6 for event in events)
    assert still[-1] - still[3000] < 0
    assert live[-1] > still[-1] + 0.25 * abs(still[-1] - still[3000])
    written = [json.loads(line) for line in (tmp_path / online.JOURNAL).read_text().splitlines()]
    assert written == events
    assert all(len(event["from"]) == len(event["to"]) == 64 for event in written)


def poison(kind):
    """What learning is fed with in place of the truth, while shadow accounts are paid the truth."""

    def improve(settings, base, walk):
        tuning = settings.online
        stop = walk.spans[walk.done].start
        tape = walk.tape.slice(stop - tuning.memory_windows * tuning.window_bars, stop)
        if kind == "constant features":
            tape = replace(tape, obs=np.ones_like(tape.obs))
        rows = Rows.of(tape, base.terms, base.experience)
        if kind == "reversed rewards":
            told = replace(rows.experience, rewards=-rows.experience.rewards)
            rows = replace(rows, experience=told)
        if kind == "infinite rewards":
            told = replace(rows.experience, rewards=np.full_like(rows.experience.rewards, np.inf))
            rows = replace(rows, experience=told)
        wild = replace(tuning.step, learning_rate=0.01)
        contest = walk.contest
        return adapt(contest.challenger, rows, settings.algo, wild, walk.done, reference=awake(contest.champion))

    return improve


@pytest.mark.parametrize("kind", ["reversed rewards", "constant features", "infinite rewards"])
def test_poisoned_learning_promotes_nobody(kind, world, settings, champion, tmp_path, monkeypatch):
    monkeypatch.setattr(online, "improve", poison(kind))
    walk, live, still, _ = walked(world, settings, champion, tmp_path, rows=8000)
    assert not [event for row in walk.rows for event in row["events"] if event["event"] == "promoted"]
    assert walk.contest.champion.digest == champion.digest
    gap = np.diff(live[::WINDOW]) - np.diff(still[::WINDOW])
    assert gap.sum() >= -2 * max(gap.std() * len(gap) ** 0.5, 1.0)


def test_interrupted_walk_goes_on_as_if_nothing_had_happened(world, settings, champion, tmp_path):
    (tmp_path / "whole").mkdir()
    whole, live, _, _ = walked(world, settings, champion, tmp_path / "whole", rows=5000)
    keeper = Memory(stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        walked(world, settings, champion, tmp_path, keeper, rows=5000)
    assert keeper.state["done"] == 5
    keeper.stop_after = None
    rest, again, _, _ = walked(world, settings, champion, tmp_path, keeper, rows=5000)
    assert np.array_equal(live, again)
    assert rest.rows == whole.rows
    assert rest.contest.challenger.digest == whole.contest.challenger.digest
    assert rest.updates == whole.updates


def test_challenger_learns_from_nothing_it_is_about_to_trade(world, settings, champion, monkeypatch, tmp_path):
    seen = []

    def noted(tape, terms, base):
        seen.append((int(tape.ts[0]), int(tape.ts[-1])))
        return Rows.of(tape, terms, base)

    monkeypatch.setattr(online, "Rows", SimpleNamespace(of=noted))
    with pytest.raises(KeyboardInterrupt):
        walked(world, settings, champion, tmp_path, Memory(stop_after=4))
    ts = known_world.tape(world).ts
    for at, (first, last) in enumerate(seen):
        begin = TRAINED + GAP + at * WINDOW
        assert last == ts[begin - 1] < ts[begin]
        assert first == ts[begin - 16 * WINDOW]

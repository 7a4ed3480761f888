"""What a bar costs: features in batch and live beside the peers, then filter, policy and env, in one run.

Repeats of all contenders are interleaved and medians taken, so that whatever else the machine does hits all alike.
Quote the ratios; single times depend on the machine.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mia.desk.plans import Plans
from mia.domain.rng import generator
from mia.domain.series import INDEX
from mia.features.catalogue import expand
from mia.features.engine import FeatureEngine
from mia.features.operator_costs import operator_costs
from mia.features.plan import Plan, compile_plan
from mia.task import ingest, peers, store
from mia.task.features import plans_of
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray

SESSIONS = 9  # enough for the seasonal columns to be at work on most bars
TRAINED = 6  # of them, fitted features learn from the first
BATCH_ROUNDS, LIVE_ROUNDS = 15, 5
LIVE_BARS, WARM_BARS = 400, 300
SLOW_BARS = 40  # for peers that take milliseconds
WIDTH_OF_POLICY = 150
TARGETS = {
    "features, batch": "<= TA-Lib",
    "features, live": 10.0,
    "forward filter": 0.2,
    "policy decision": 6.0,
    "env step": 0.25,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """What is walked.

    Parameters
    ----------
    plans : fitted
    rows : base series per plan, (T, W) each
    prices : the bars as peers take them
    """

    plans: tuple[Plan, ...]
    rows: tuple[Array, ...]
    prices: peers.Prices

    @property
    def columns(self) -> int:
        """Published columns of all plans."""
        return sum(len(plan.names) for plan in self.plans)


@dataclass(slots=True, kw_only=True)
class Line:
    """One line of the result.

    Parameters
    ----------
    what, who : what was done and by whom
    columns : how many columns it publishes per bar, 0 where that says nothing
    samples : one number per repeat (batch) or bar (live) [us]
    """

    what: str
    who: str
    columns: int
    samples: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        """Median [us]."""
        return float(np.median(self.samples))

    @property
    def p99(self) -> float:
        """99th percentile [us]."""
        return float(np.percentile(self.samples, 99))


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Measure, print one table and write benchmark.json."""
    world = _world(settings, watch)
    talib, talipp = peers.talib_module(), peers.talipp_module()
    if talib is None:
        watch.say("TA-Lib is not installed: no peers beside our own figures; pip install 'mia-futures[dev]'")
    with watch.step("features"):
        lines = _batch(settings, world, talib) + _live(world, talib, talipp)
    with watch.step("filter, policy, env"):
        lines += _others(settings)
    with watch.step("operators"):
        costs = _costs(world)
    rows = _table(lines)
    watch.rows(f"µs per bar, {len(world.rows[0]):,} bars, {world.columns} columns", rows)
    watch.rows("dearest operators", [_short(cost) for cost in costs[:15]])
    target = store.folder(settings.outputs, "benchmark", settings.market.name) / "benchmark.json"
    store.write_json(target, {"bars": len(world.rows[0]), "columns": world.columns, "lines": rows, "operators": costs})
    watch.say(f"wrote {target}")


def _world(settings: RunSettings, watch: Watch) -> World:
    """Bars of the configured source, as many sessions as needed, and the configured features, fitted."""
    from mia.features.fitted import fit

    feed = ingest.opened(settings, watch)
    pieces, sessions = [], set()
    for piece in ingest.complete(settings, feed):
        pieces.append(piece)
        sessions |= set(np.unique(piece.column("cal.session")))
        if len(sessions) > SESSIONS:
            break
    values = np.concatenate([piece.values for piece in pieces])
    session = values[:, INDEX["cal.session"]]
    values = np.ascontiguousarray(values[session < session[0] + SESSIONS])
    trained = values[:, INDEX["cal.session"]] < session[0] + TRAINED
    plans: Plans = plans_of(settings, pieces[0].bar_minutes, feed.sessions.full_minutes)
    with watch.step("fit features"):
        market = plans.market
        learned = fit(market, values, FeatureEngine(market).batch(values), trained)
        fitted = (market.with_parameters(learned.params), *plans.parts[1:])
    # What models and the policy would say is made up: its values cost the same.
    rng = generator(settings.seed, "benchmark")
    rows = (values, *(rng.random((len(values), plan.width)) for plan in plans.parts[1:]))
    prices = {
        key: values[:, INDEX[f"bar.{key}"]] * settings.market.tick_size for key in ("open", "high", "low", "close")
    }
    prices["volume"] = values[:, INDEX["bar.volume"]].copy()
    return World(plans=fitted, rows=rows, prices=prices)


def _batch(settings: RunSettings, world: World, talib: Any) -> list[Line]:
    """All columns at once over all bars, and the columns shared with TA-Lib, ours and theirs in turn."""
    bars = len(world.rows[0])
    engines = [FeatureEngine(plan) for plan in world.plans]

    def ours() -> None:
        for engine, rows in zip(engines, world.rows, strict=True):
            engine.batch(rows)

    shared = _shared_plan(settings, world)
    engine = FeatureEngine(shared)
    work: list[tuple[Line, Callable[[], Any]]] = [
        (Line(what="features, batch", who="mia", columns=world.columns), ours),
        (
            Line(what="shared columns, batch", who="mia", columns=len(shared.names)),
            lambda: engine.batch(world.rows[0]),
        ),
    ]
    if talib is not None:
        all_calls, same = peers.calls(world.columns), peers.shared_calls(shared.specs)
        work += [
            (
                Line(what="features, batch", who="TA-Lib", columns=world.columns),
                peers.batch(talib, all_calls, world.prices),
            ),
            (
                Line(what="shared columns, batch", who="TA-Lib", columns=len(shared.names)),
                peers.batch(talib, same, world.prices),
            ),
        ]
    for _, run in work:
        run()
    for _ in range(BATCH_ROUNDS):
        for line, run in work:
            line.samples.append(_cpu(run) / bars * 1e6)
    return [line for line, _ in work]


def _shared_plan(settings: RunSettings, world: World) -> Plan:
    """The columns that name a TA-Lib function and come from bars alone, with what they need."""
    market = world.plans[0]
    specs = {spec.name: spec for spec in expand(settings.features.groups)}
    stack = [spec.name for spec in market.specs if spec.talib and set(market.sources(spec.name)) == {"bars"}]
    keep: set[str] = set()
    while stack:
        name = stack.pop()
        keep.add(name)
        stack += [item[1:] for item in specs[name].inputs if item.startswith("@") and item[1:] not in keep]
    lines = [spec for spec in specs.values() if spec.name in keep]
    return compile_plan(lines, settings.market, bar_minutes=1, session_minutes=market.n_slots)


def _live(world: World, talib: Any, talipp: Any) -> list[Line]:
    """One bar at a time, ours and the peers' in turn."""
    engines = [FeatureEngine(plan) for plan in world.plans]
    for engine, rows in zip(engines, world.rows, strict=True):
        engine.advance(rows[:WARM_BARS])

    def ours(t: int) -> None:
        for engine, rows in zip(engines, world.rows, strict=True):
            engine.step(rows[t])

    work = [(Line(what="features, live", who="mia", columns=world.columns), ours, LIVE_BARS)]
    if talib is not None:
        handles = peers.stream(talib, peers.calls(world.columns), world.prices, WARM_BARS)
        work.append((Line(what="features, live", who="TA-Lib stream", columns=world.columns), handles, LIVE_BARS))
    if talipp is not None:
        objects = peers.pure_python(talipp, world.columns, world.prices, WARM_BARS)
        work.append((Line(what="features, live", who="talipp", columns=world.columns), objects, SLOW_BARS))
    for turn in range(LIVE_ROUNDS):
        for line, take, bars in work:
            first = WARM_BARS + turn * bars
            line.samples += _each(take, range(first, first + bars))
    return [line for line, _, _ in work]


def _others(settings: RunSettings) -> list[Line]:
    """The forward filter, a policy's decision and the env, on made-up numbers of the usual sizes."""
    rng = generator(settings.seed, "benchmark", "others")
    return [_filter(rng), _policy(rng), _env(settings, rng)]


def _filter(rng: np.random.Generator) -> Line:
    from mia.regime.forward_filter import scan_into

    rows, states, inputs = 20_000, 3, 4
    x, out = rng.normal(size=(rows, inputs)), np.empty((rows, states))
    transmat = np.full((states, states), 0.02) + 0.94 * np.eye(states)
    means, precisions, norms = rng.normal(size=(states, inputs)), np.ones((states, inputs)), np.zeros(states)
    line = Line(what="forward filter", who="mia", columns=0)
    for _ in range(BATCH_ROUNDS):
        belief = np.full(states, 1.0 / states)
        seconds = _cpu(lambda start=belief: scan_into(start, x, transmat, means, precisions, norms, out))
        line.samples.append(seconds / rows * 1e6)
    return line


def _policy(rng: np.random.Generator) -> Line:
    from mia.algo.policy import TrainedPolicy

    widths = (WIDTH_OF_POLICY + 1, 64, 64, 3)
    layers = tuple(
        (rng.normal(0.0, 0.1, (out, width)).astype(np.float32), np.zeros(out, np.float32))
        for width, out in pairwise(widths)
    )
    policy = TrainedPolicy(
        algo="ppo", layers=layers, activation="tanh", n_quantiles=0, value_cents=1.0, abstains=False, card={}
    )
    observations = rng.normal(size=(64, WIDTH_OF_POLICY)).astype(np.float32)
    decide: Callable[[int], Any] = lambda t: policy.decide(observations[t % 64], 0.0)  # noqa: E731
    _each(decide, range(10))
    return Line(what="policy decision", who="mia", columns=0, samples=_each(decide, range(2000)))


def _env(settings: RunSettings, rng: np.random.Generator) -> Line:
    """Steps of all accounts of a VecEnv, per account."""
    from mia.broker.terms import terms
    from mia.env.trading_vec_env import TradingVecEnv
    from mia.reward.pnl import PnlReward
    from mia.risk.limits import unlimited

    accounts, steps = 256, 200
    tape = _tape(settings, rng)
    cost = terms(settings.market, settings.broker.central)
    env = TradingVecEnv(tape, cost, unlimited(), PnlReward(scale_cents=1.0), n_envs=accounts, seed=0)
    env.reset()
    actions = rng.integers(0, 3, (steps, accounts))

    def run() -> None:
        for chosen in actions:
            env.step(chosen)

    line = Line(what="env step", who="mia", columns=0)
    run()
    for _ in range(LIVE_ROUNDS):
        line.samples.append(_cpu(run) / (accounts * steps) * 1e6)
    return line


def _tape(settings: RunSettings, rng: np.random.Generator) -> Any:
    from mia.desk.tape import Tape

    rows = 20_000
    close = 20_000 + np.cumsum(rng.integers(-6, 7, rows))
    open_ = np.concatenate([close[:1], close[:-1]])
    return Tape(
        market=settings.market,
        ts=np.arange(1, rows + 1) * 60_000_000_000,
        open=open_,
        high=np.maximum(open_, close),
        low=np.minimum(open_, close),
        close=close,
        session=np.arange(rows) // 1380,
        must_flat=np.zeros(rows, dtype=bool),
        may_enter=np.ones(rows, dtype=bool),
        obs=rng.normal(size=(rows, WIDTH_OF_POLICY)).astype(np.float32),
        belief=np.full((rows, 3), 1.0 / 3.0),
    )


def _cpu(run: Callable[[], Any]) -> float:
    """CPU time of one call [s]: what others do on the machine is not counted."""
    started = time.process_time()
    run()
    return time.process_time() - started


def _each(take: Callable[[int], Any], bars: Sequence[int]) -> list[float]:
    """Time of every call [us]."""
    taken = []
    for t in bars:
        started = time.perf_counter_ns()
        take(t)
        taken.append((time.perf_counter_ns() - started) / 1e3)
    return taken


def _costs(world: World) -> list[dict[str, Any]]:
    found = [
        {"plan": plan.series.name, "operator": cost.op, "nodes": cost.nodes, "ns_per_bar": round(cost.ns, 1)}
        for plan, rows in zip(world.plans, world.rows, strict=True)
        for cost in operator_costs(plan, rows)
    ]
    return sorted(found, key=lambda cost: -cost["ns_per_bar"])


def _short(cost: dict[str, Any]) -> dict[str, Any]:
    return {**cost, "ns_per_bar": f"{cost['ns_per_bar']:,.0f}"}


def _table(lines: list[Line]) -> list[dict[str, Any]]:
    """Medians, tails, and how many times ours each peer takes, in the same run."""
    ours = {line.what: line.p50 for line in lines if line.who == "mia"}
    return [
        {
            "what": line.what,
            "who": line.who,
            "columns": line.columns or "",
            "p50 µs": float(f"{line.p50:.4g}"),
            "p99 µs": float(f"{line.p99:.4g}"),
            "x mia": float(f"{line.p50 / ours[line.what]:.3g}"),
            "target µs": TARGETS.get(line.what, ""),
        }
        for line in lines
    ]

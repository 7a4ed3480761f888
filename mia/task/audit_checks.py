"""The audit's other checks on a walk: delay, warm-up, embargo of the memory, shuffled sessions, reward."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from mia.broker.terms import terms
from mia.desk import accounting, backtest
from mia.domain.rng import generator
from mia.domain.series import INDEX, MEMORY
from mia.evaluation.audit import delay, reward, shuffle, warm_up
from mia.evaluation.audit.changes import Changes
from mia.evaluation.audit.finding import Finding, Offence, judged, skipped
from mia.features.catalogue import expand
from mia.features.engine import FeatureEngine
from mia.memory.context_memory import ContextMemory
from mia.risk.limits import unlimited
from mia.task import select
from mia.task.audit_subject import Subject

Array = np.ndarray
_ANSWERS = [at for at, name in enumerate(MEMORY) if not name.endswith(("novelty", "past_score", "realised"))]
_HELD = np.array([-1, 0, 1], dtype=np.int64)


def delayed(subject: Subject) -> Finding:
    """Every column against the next bar, in time and one bar late."""
    bars, audit = subject.made.bars, subject.settings.audit
    target = delay.next_return(bars.column("bar.open"), bars.column("bar.close"), bars.column("cal.session"))
    return delay.finding(
        subject.table.plans.names,
        subject.table.block.table(subject.table.plans),
        target,
        least_ic=audit.delay_ic,
        least_t=audit.delay_t,
        kept=audit.delay_fall,
        least_rows=audit.delay_rows,
    )


def warm(subject: Subject) -> Finding:
    """Columns that are not fitted, walked from later beginnings on."""
    audit, plan, values = subject.settings.audit, subject.table.plans.market, subject.made.bars.values
    if not audit.late_starts:
        return skipped("features", "warm-up sweep", "audit.late_starts is 0")
    places = [at for at, name in enumerate(plan.names) if name not in plan.fitted_nodes]
    names = [plan.names[at] for at in places]
    whole = FeatureEngine(plan).batch(values)
    rng = generator(audit.seed, "audit", "late starts")
    starts = sorted(int(row) for row in rng.integers(1, max(2, len(values) // 2), audit.late_starts))
    settled = np.stack(
        [
            warm_up.settled_after(
                whole[start:, places], FeatureEngine(plan).batch(values[start:])[:, places], audit.warm_up_tolerance
            )
            for start in starts
        ]
    )
    declared = np.array([_declared(subject)[name] for name in names])
    return warm_up.finding(names, declared, settled, [len(values) - start for start in starts], audit.shown)


def _declared(subject: Subject) -> dict[str, int]:
    """Bars of warm-up of every node, those of what it reads included."""
    plan = subject.table.plans.market
    own = {spec.name: spec.warm_bars for spec in expand(subject.settings.features.groups)}
    total: dict[str, int] = {}
    for node in plan.nodes:
        total[node.name] = own.get(node.name, 1) + max((total.get(name, 0) for name in node.inputs), default=0)
    return total


def embargo(subject: Subject, cuts: int = 40) -> Finding:
    """The memory's answers must not change with prices of the last bars: no outcome of theirs may be known yet."""
    check, table, settings = "embargo", subject.table, subject.settings.memory
    found = [snapshot for snapshot in table.snapshots if snapshot.memory is not None]
    if not found or settings.embargo_bars < 1:
        why = "embargo_bars is 0: outcomes are used as soon as they have ended" if found else "no column reads it"
        return skipped("memory", check, why)
    memory = ContextMemory(basis=found[-1].memory, settings=replace(settings, min_contexts=settings.k))
    columns = _columns(subject, found[-1])
    state, rows, wait = memory.new_state(), len(subject.made.bars), settings.embargo_bars
    rng = generator(subject.settings.audit.seed, "audit", "embargo")
    changes = Changes("memory", check, [MEMORY[at] for at in _ANSWERS])
    places = sorted({int(row) for row in rng.integers(rows // 3, rows, cuts)})
    at = answered = 0
    for row in places:
        begin = row - wait + 1
        if begin <= at:
            continue
        memory.advance(state, *_slice(columns, at, begin))
        at = begin
        answers = []
        for prices in (columns[1], columns[1] * rng.uniform(0.5, 2.0, (rows, 1))):
            copy = {name: array.copy() for name, array in state.items()}
            answers.append(
                memory.advance(copy, *_slice((columns[0], prices, *columns[2:]), begin, row + 1))[-1:, _ANSWERS]
            )
        answered += int(np.isfinite(answers[0]).any())
        changes.see(answers[0], answers[1], row, begin)
    if not answered:
        return skipped("memory", check, "it never answered: too few contexts in so few sessions")
    return changes.finding(answered=answered)


def _columns(subject: Subject, snapshot: Any) -> tuple[Array, ...]:
    """Contexts, prices with range, belief, session and stamps of all rows, as the memory reads them."""
    plan, block, bars = subject.table.plans.market, subject.table.block, subject.made.bars
    view, _ = snapshot.scaler.transform(block.features, bars.column("cal.slot"))
    contexts = view[:, [plan.names.index(name) for name in snapshot.memory.inputs]]
    atr = block.features[:, [plan.columns.index(name) for name in ("atr_dynamic", "atr_14")]]
    size = np.where(np.isnan(atr[:, 0]), atr[:, 1], atr[:, 0]) / subject.settings.market.tick_size
    prices = np.column_stack([*(bars.column(f"bar.{name}") for name in ("close", "high", "low")), size])
    return contexts, prices, block.belief, bars.column("cal.session"), bars.ts


def _slice(columns: tuple[Array, ...], begin: int, end: int) -> Iterator[Array]:
    contexts, prices, belief, session, ts = (column[begin:end] for column in columns)
    yield from (contexts, *prices.T, belief, session, ts)


def shuffled(subject: Subject, progress: Any) -> Finding:
    """Select and learn on sessions whose labels come from other days."""
    settings, bars, fold = subject.settings, subject.made.bars, subject.state.fold
    session, slot = bars.column("cal.session"), bars.column("cal.slot")
    runs = []
    for number in range(settings.audit.shuffles):
        rng = generator(settings.audit.seed, "audit", "shuffle", str(number))
        close = shuffle.other_days(bars.column("bar.close"), session, slot, rng)
        values = bars.values.copy()
        values[:, INDEX["bar.close"]] = close
        made = replace(subject.made, bars=replace(bars, values=values))
        chosen = select.make(settings, made, subject.state, subject.seen)
        columns = [subject.table.plans.names.index(name) for name in chosen.names]
        stop = fold.test.stop
        change = np.full(stop, np.nan)
        inside = session[1:stop] == session[: stop - 1]
        change[:-1][inside] = np.diff(close[:stop])[inside]
        forecast = shuffle.ridge_forecast(np.nan_to_num(subject.seen.view[:, columns]), change, fold.train)
        runs.append(shuffle.judge(forecast, change, session[:stop], fold.test))
        progress(number + 1, settings.audit.shuffles)
    if not runs:
        return skipped("learning", "shuffled sessions", "audit.shuffles is 0")
    return shuffle.finding(runs, settings.audit.shuffle_errors, settings.audit.shuffle_ic)


def paid(subject: Subject) -> list[Finding]:
    """What decisions bring, in the tables learners are taught by and in the account that judges."""
    settings, tape = subject.settings, subject.lesson.tape
    training = terms(settings.market, settings.broker.model(settings.broker.train))
    cents, held = accounting.outcome_tables(tape, training, _HELD)
    found = reward.finding(
        cents, _HELD, held, tape.open, tape.close, training.tick_value_cents, training.side_cost_cents
    )
    headline = terms(settings.market, settings.broker.model(settings.broker.headline))
    track = backtest.run_policy(tape, subject.policy, headline, unlimited(1), close_at_end=False)
    position = track.position.astype(np.int64)
    gap, bar = tape.open[1:] - tape.close[:-1], tape.close[1:] - tape.open[1:]
    wanted = headline.tick_value_cents * (position[:-1] * gap + position[1:] * bar)
    wanted -= headline.side_cost_cents * np.abs(np.diff(position))
    wrong = np.flatnonzero(np.diff(track.equity_cents) != wanted)
    offences = []
    if len(wrong):
        offences.append(Offence(column="equity", row=int(wrong[0]) + 1, detail=f"{len(wrong)} bars are paid otherwise"))
    sides = int(np.abs(np.diff(position)).sum())
    judged_account = judged(
        "reward",
        "backtest",
        offences,
        columns=1,
        rows=len(wanted),
        note=f"{sides} sides traded, each at the next bar's open plus {headline.side_cost_cents} cents",
    )
    return [found, judged_account]

"""Combinatorial purged cross-validation: how stable is what is learned over the choice of sessions to learn from?

The sessions are cut into groups; every choice of some of them is tested by a policy trained on the others, everything
fitted inside the split as a fold of the walk fits it, and the tests are put together to whole paths. Policies also
learn from sessions after their tests, so this is never the headline: task=run remains that. No bundle is left behind,
since none of these policies is one to trade with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain import digest
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation import cpcv_figures
from mia.evaluation.adaptation_page import Content, write
from mia.evaluation.cpcv_folds import Plan, paths, plan
from mia.evaluation.cpcv_verdict import (
    LATER_ROWS,
    SHARED_ROWS,
    Found,
    account_row,
    loss_probability,
    sentence,
    spread,
    written,
)
from mia.evaluation.performance import Outcome, daily_net_usd
from mia.task import (
    adapting,
    features,
    judging,
    keeping,
    performance,
    regime,
    report,
    select,
    store,
    tracker,
    train,
    trial,
)
from mia.task.adapting import Work
from mia.task.features import FeatureTable
from mia.task.ingest import Ingested
from mia.task.judging import POLICY, Judged, Walks
from mia.task.settings import RunSettings
from mia.task.usage import cpu_seconds, peak_memory_mb
from mia.task.watch import Watch

HOLD = "buy_and_hold"
LEARNED = (POLICY, "ridge")
"""Accounts that are fitted inside the splits: their paths differ. The others' are the same whatever is learned from."""
MEASURES = ("net_usd", "sharpe", "sharpe_ci", "max_drawdown_intraday_usd", "trades", "exposure")


@dataclass(slots=True, kw_only=True, eq=False)
class Tested:
    """What the splits brought, in their order.

    Parameters
    ----------
    parts : account -> per split, one outcome for each tested group
    rows : one row per split, for people and programs
    weights : digest of each policy
    trials : number of each training in the ledger
    """

    parts: dict[str, list[list[Outcome]]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Train and test every split, and leave summary.json and report.html about the paths they make."""
    started = cpu_seconds()
    check_flat(settings)
    made, table = adapting.rows_of(settings, watch, planned)
    cut = planned(settings, made)
    tracker.start(settings, plain, watch)
    with keeping.kept(settings, plain, made.digest) as keeper:
        work = Work(
            settings=settings,
            plain=plain,
            directory=directory,
            watch=watch,
            made=made,
            table=table,
            keeper=keeper.part(settings.task.name),
            trial=None,
            started=started,
        )
        tested = Tested()
        for index in range(len(cut.splits)):
            _split(work, cut, index, tested)
        performance.write_page(settings, watch)
        _finish(work, cut, tested)


def check_flat(settings: RunSettings) -> None:
    """Refuse positions that stay overnight: training pieces are joined where sessions end, and nothing may be held.

    Raises
    ------
    ConfigurationError : if the risk profile lets them stay.
    """
    if settings.risk.flat_at == "never":
        raise ConfigurationError(
            "task=cpcv joins sessions that do not follow one another, so positions must be gone at their end: "
            "risk.flat_at must be session_end or rth_close, was never; use risk=default"
        )


def planned(settings: RunSettings, made: Ingested) -> Plan:
    """The groups and splits of the bars at hand; tests begin where the first fit below the policy is in force.

    Raises
    ------
    ConfigurationError : if there are too few sessions.
    """
    session = made.bars.column("cal.session").astype(np.int64)
    features.check_fits(settings, session, len(session) - 1)
    first_fit = features.Schedule(settings.snapshots).cuts(session)[0]
    return plan(session, first_fit, settings.evaluation, settings.cpcv)


def learn(
    settings: RunSettings, made: Ingested, table: FeatureTable, cut: Plan, index: int, progress: Any, keeper: Any = None
) -> list[Judged]:
    """Fit scaler, selection and policy of one split on its training rows; returns it once per tested group.

    The table is taken as it is: each row by the newest fit on rows before it, tested ones included, as a live desk
    that fits again would have had them. No list of columns of another split has a say, since it has seen these tests.
    """
    folds = cut.splits[index]
    state = regime.make(settings, made, table, folds[0])
    seen = regime.scaled(made, state, table.block)
    selection = select.make(settings, made, state, seen)
    taught = train.lesson(settings, made, state, seen, selection)
    del seen  # the widest arrays of the split; nothing below needs more than the selected columns
    policy = train.make(settings, taught, progress, keeper)
    return [
        Judged(
            fold=fold,
            tape=taught.tape,
            policy=policy,
            state=state,
            selection=selection,
            bar_minutes=made.bars.bar_minutes,
        )
        for fold in folds
    ]


def _split(work: Work, cut: Plan, index: int, tested: Tested) -> None:
    """Train and test one split; it is a trial of its own."""
    settings, watch = work.settings, work.watch
    own = work.keeper.part(f"fold_{index}")
    with (
        trial.counted(settings, work.plain, work.made.digest, own) as number,
        watch.step(f"split {index + 1} of {len(cut.splits)}") as step,
    ):
        progress = train.trainer_progress(step, performance.logger(settings, watch, work.directory, number, index))
        judged = learn(settings, work.made, work.table, cut, index, progress, work.keeper)
        walks = judging.walk(settings, judged, lambda *_: None)
    trial.ledger(settings).end(number, "cross-validation: learned from later sessions as well")
    for name, parts in walks.names.items():
        tested.parts.setdefault(name, []).append(parts)
    tested.rows.append(_split_row(cut, index, judged[0], walks))
    tested.weights.append(judged[0].policy.digest)
    tested.trials.append(number)


def _split_row(cut: Plan, index: int, judged: Judged, walks: Walks) -> dict[str, Any]:
    parts = walks.names[POLICY]
    return {
        "split": index + 1,
        "tests groups": ", ".join(str(group + 1) for group in cut.tested(index)),
        "sessions learned from": judged.fold.train_sessions,
        "sessions tested": sum(fold.test_sessions for fold in cut.splits[index]),
        "columns": len(judged.selection.names),
        "net_usd": sum(int(part.equity_cents[-1]) for part in parts) / 100,
        "trades": sum(part.sides for part in parts),
        "abstains": bool(judged.policy.abstains),
        "train_cpu_s": judged.policy.card["cpu_s"],
    }


def _finish(work: Work, cut: Plan, tested: Tested) -> None:
    """Put the paths together, judge how they lie, write and say it."""
    settings, watch = work.settings, work.watch
    with watch.step("put the paths together"):
        histories = {name: paths(cut, parts) for name, parts in tested.parts.items()}
        figures = {name: _figures(settings, name, own) for name, own in histories.items()}
        over = {name: spread(own) for name, own in figures.items()}
        found = _found(settings, cut, tested, histories, over)
        verdict, tone = sentence(found, settings.evaluation.confidence)
    summary = _summary(work, cut, tested, figures, over, found, verdict)
    accounts = [account_row(name, values, found.paths) for name, values in over.items()]
    with watch.step("write the report"):
        store.write_json(work.directory / "summary.json", summary)
        content = _content(work, cut, tested, histories, figures, accounts, summary, tone)
        write(work.directory / "report.html", content)
    _track(watch, summary)
    title = f"{settings.market.name} cross-validated over {found.paths} paths, {settings.broker.headline} fills"
    watch.rows(title, [written(row) for row in accounts])
    watch.terminal.verdict(verdict, (LATER_ROWS,))
    watch.say(f"report: {work.directory / 'report.html'}")


def _found(
    settings: RunSettings,
    cut: Plan,
    tested: Tested,
    histories: Mapping[str, list[Outcome]],
    over: Mapping[str, Mapping[str, float]],
) -> Found:
    return Found(
        paths=len(histories[POLICY]),
        trainings=len(cut.splits),
        idle=sum(row["abstains"] for row in tested.rows),
        spread=over[POLICY],
        loss_probability=loss_probability(
            [daily_net_usd(path) for path in histories[POLICY]],
            generator(settings.seed, "cpcv", "loss"),
            settings.evaluation.bootstrap_samples,
        ),
        hold_net_usd=over[HOLD]["median_net_usd"],
    )


def _figures(settings: RunSettings, name: str, outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Figures of each path; what learns nothing has the same path every time and is judged once."""
    different = outcomes if name in (*LEARNED, "random") else outcomes[:1]
    found = [judging.figures(settings, [path], f"cpcv-{name}-{at}") for at, path in enumerate(different)]
    return found if len(found) == len(outcomes) else found * len(outcomes)


def _summary(
    work: Work,
    cut: Plan,
    tested: Tested,
    figures: Mapping[str, Any],
    over: Mapping[str, Any],
    found: Found,
    verdict: str,
) -> dict[str, Any]:
    settings, made = work.settings, work.made
    result = [{"path": at + 1, **{key: path[key] for key in MEASURES}} for at, path in enumerate(figures[POLICY])]
    return {
        "schema": report.SCHEMA,
        "task": settings.task.name,
        "market": settings.market.name,
        "algo": settings.algo.name,
        "source": settings.source.name,
        "data": made.facts,
        "seed": settings.seed,
        "config_digest": trial.config_digest(work.plain),
        "data_digest": made.digest,
        "digest": digest.of_json([made.digest, tested.weights, result, settings.seed]),
        "bars": len(made.bars),
        "headline_fill": settings.broker.headline,
        "cpcv": {
            "groups": cut.groups,
            "chosen": cut.chosen,
            "sessions_by_group": cut.sessions.tolist(),
            "trainings": found.trainings,
            "stayed_flat": found.idle,
            "loss_probability": found.loss_probability,
            **found.spread,
            "paths": result,
            "splits": [{**row, "weights": own} for row, own in zip(tested.rows, tested.weights, strict=True)],
            "accounts": {name: dict(values) for name, values in over.items()},
        },
        "trial_numbers": tested.trials,
        "trials": trial.ledger(settings).trials(settings.market.name),
        "verdict": verdict,
        "note": LATER_ROWS,
        "cpu_seconds": round(cpu_seconds() - work.started, 1),
        "peak_memory_mb": round(peak_memory_mb()),
    }


def _content(
    work: Work,
    cut: Plan,
    tested: Tested,
    histories: Mapping[str, list[Outcome]],
    figures: Mapping[str, list[dict[str, Any]]],
    accounts: list[dict[str, Any]],
    summary: Mapping[str, Any],
    tone: str,
) -> Content:
    settings, sizes = work.settings, cut.sessions
    ours, hold = histories[POLICY], histories[HOLD][0]
    net = [path["net_usd"] for path in figures[POLICY]]
    facts = {
        **adapting.facts(work),
        "Groups": f"{cut.groups} of {sizes.min()} to {sizes.max()} sessions, {cut.chosen} tested at a time",
        "Trainings": f"{len(cut.splits)}, each a trial: {summary['trials']} counted",
        "Paths": len(ours),
        "Fills": settings.broker.headline,
        "Digest": summary["digest"],
    }
    return Content(
        what="cross-validation",
        title=f"{settings.market.name} · {settings.algo.name}",
        facts=facts,
        verdict=summary["verdict"],
        tone=tone,
        warnings=[LATER_ROWS, SHARED_ROWS, *adapting.warnings(work)],
        drawn={
            "equity": cpcv_figures.equity(
                ours[0].ts, [path.equity_cents for path in ours], hold.equity_cents, int(np.argmin(net))
            ),
            "sharpes": cpcv_figures.sharpes(
                {name: [path["sharpe"] for path in figures[name]] for name in LEARNED if name in figures},
                POLICY,
                figures[HOLD][0]["sharpe"],
            ),
        },
        captions={
            "equity": ("Equity of every path", "every session decided by a policy that had not learned from it"),
            "sharpes": ("Sharpe ratio of every path", "a dot is a path, the diamond their median"),
        },
        tables={
            "Paths": summary["cpcv"]["paths"],
            "Accounts on the same sessions": accounts,
            "Trainings": tested.rows,
        },
    )


def _track(watch: Watch, summary: Mapping[str, Any]) -> None:
    told = {f"evaluate/cpcv/{k}": v for k, v in summary["cpcv"].items() if isinstance(v, int | float)}
    watch.tracker.log(told, 0)
    watch.tracker.finish({**told, "evaluate/cpcv/verdict": summary["verdict"], "evaluate/digest": summary["digest"]})

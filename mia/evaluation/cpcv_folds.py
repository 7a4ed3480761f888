"""Cross-validation of whole sessions: which rows each split learns from, which it tests, and the paths they make.

Called by task=cpcv. Sessions are kept whole on both sides, so that nothing that is learned or held runs over the edge
of a piece: labels end with their session, and positions are gone by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mia.domain.errors import ConfigurationError
from mia.evaluation import cpcv
from mia.evaluation.performance import Outcome
from mia.evaluation.settings import CpcvSettings, EvaluationSettings
from mia.evaluation.walk_forward import Fold

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What is trained and tested.

    Parameters
    ----------
    edges : (N + 1,) first row of each group, and the end
    sessions : (N,) sessions of each group
    chosen : groups tested at a time
    splits : per split one fold for each group it tests; they share index, training rows and gap
    """

    edges: Array
    sessions: Array
    chosen: int
    splits: tuple[tuple[Fold, ...], ...]

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.edges) - 1

    def tested(self, split: int) -> tuple[int, ...]:
        """Numbers of the groups a split tests."""
        return tuple(int(np.searchsorted(self.edges, fold.test.start)) for fold in self.splits[split])


def plan(session: Array, testable: int, evaluation: EvaluationSettings, settings: CpcvSettings) -> Plan:
    """Cut T rows into groups of whole sessions, and say for every split what is learned from.

    Rows from the end of warm-up up to the first group are learned from by every split and never tested, as the first
    training rows of the walk are.

    Parameters
    ----------
    session : (T,) session of each row, never decreasing
    testable : first row whose features are complete: where the first fit below the policy is in force
    evaluation : warm-up, purge and embargo [bars]; a session that either of them touches is left out whole
    settings : groups

    Raises
    ------
    ConfigurationError : if there are too few sessions for the groups, or for a split to learn from.
    """
    session = np.asarray(session)
    starts = np.flatnonzero(np.diff(session, prepend=session[0] - 1)) if len(session) else np.zeros(0, np.int64)
    warm = int(starts[evaluation.warmup_sessions]) if evaluation.warmup_sessions < len(starts) else len(session)
    first = starts[starts >= max(testable, warm)]
    if len(first) < settings.groups:
        raise _too_few(
            settings, len(starts), f"{len(first)} of them can be tested and {settings.groups} groups need one each"
        )
    cuts = cpcv.group_edges(len(first), settings.groups)
    edges = np.append(first, len(session))[cuts]
    splits = []
    try:
        found = list(
            cpcv.splits(edges, settings.chosen, evaluation.purge_bars, evaluation.embargo_bars, int(edges[0]) - warm)
        )
    except ValueError as error:
        raise _too_few(settings, len(starts), str(error)) from error
    for index, split in enumerate(found):
        train = whole_sessions(split.train, session)
        learned = len(np.unique(session[train]))
        # Rows before the first group lack what is fitted below the policy: they alone teach nothing of it.
        if learned < settings.min_train_sessions or train[-1] < edges[0]:
            tested = ", ".join(str(group + 1) for group in split.groups)
            raise _too_few(
                settings,
                len(starts),
                f"testing groups {tested} leaves {learned} whole ones to learn from, at least "
                f"{settings.min_train_sessions} are asked for, some of them after the first fit",
            )
        splits.append(tuple(_fold(index, group, train, split.test, edges, cuts, learned) for group in split.groups))
    return Plan(edges=edges, sessions=np.diff(cuts), chosen=settings.chosen, splits=tuple(splits))


def _fold(index: int, group: int, train: Array, test: Array, edges: Array, cuts: Array, learned: int) -> Fold:
    """The fold of one tested group."""
    span = np.arange(train[0], edges[-1])
    return Fold(
        index=index,
        train=train,
        gap=np.setdiff1d(span, np.union1d(train, test)),
        test=slice(int(edges[group]), int(edges[group + 1])),
        train_sessions=learned,
        test_sessions=int(cuts[group + 1] - cuts[group]),
    )


def _too_few(settings: CpcvSettings, sessions: int, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"cpcv {settings.name}: {sessions} sessions are too few ({why}); use more sessions, or lower cpcv.groups, "
        "cpcv.chosen or cpcv.min_train_sessions"
    )


def whole_sessions(rows: Array, session: Array) -> Array:
    """Those of some rows (ascending) whose session has none missing among them."""
    kept = np.bincount(session[rows] - session[0], minlength=int(session[-1] - session[0]) + 1)
    whole = kept == np.bincount(session - session[0])
    return rows[whole[session[rows] - session[0]]]


def paths(plan: Plan, outcomes: Sequence[Sequence[Outcome]]) -> list[Outcome]:
    """Put what an account did in all splits together to whole histories.

    Parameters
    ----------
    plan : what was tested
    outcomes : per split, in its order, one outcome for each tested group

    Returns
    -------
    One outcome a path; its rows are all groups in time order, money runs on from group to group.
    """
    steps = [np.concatenate([_steps(part) for part in parts]) for parts in outcomes]
    rows = {int(part.ts[0]): part for parts in outcomes for part in parts}
    parts = [rows[at] for at in sorted(rows)]
    ts, session = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ts", "session"))
    return [_outcome(path, ts, session) for path in cpcv.assemble(plan.edges, plan.chosen, steps)]


def _steps(part: Outcome) -> Array:
    """(n, 5) int64 of n rows: change of equity, gross and cost [cents], position held, contracts traded."""
    sides = np.abs(np.diff(part.position, prepend=part.position[:1]))
    sides[-1] += part.sides - sides.sum()  # what is closed at the very end
    money = [np.diff(values, prepend=0) for values in (part.equity_cents, part.gross_cents, part.cost_cents)]
    return np.column_stack([*money, part.position, sides])


def _outcome(path: Array, ts: Array, session: Array) -> Outcome:
    equity, gross, cost = np.cumsum(path[:, :3], axis=0).T
    return Outcome(
        equity_cents=equity,
        gross_cents=gross,
        cost_cents=cost,
        position=path[:, 3],
        ts=ts,
        session=session,
        sides=int(path[:, 4].sum()),
    )

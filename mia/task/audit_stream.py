"""Truncation and poison: all rows walked again in pieces that end at the cuts, with no future or with a spoilt one.

A piece starts from the pipeline's state at the cut before, so hundreds of cuts cost one more walk. What the whole
walk found, in pieces as long as possible, must come out again to the last bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from mia.desk.feature_pipeline import Block, FeaturePipeline
from mia.desk.snapshot import Snapshot
from mia.domain.rng import generator
from mia.domain.series import CALENDAR, INDEX
from mia.evaluation.audit import cuts as where
from mia.evaluation.audit import poison
from mia.evaluation.audit.changes import Changes
from mia.evaluation.audit.finding import Finding
from mia.regime.regime_detector import REGIMES
from mia.risk.flat_rules import may_enter, must_flat
from mia.task.audit_subject import POSITIONS, Subject, model_columns, past
from mia.task.tapes import safety_columns

Array = np.ndarray
CUT, SPOILT = "future cut off", "future spoilt"
_SLOT = INDEX["cal.slot"]
_PLANNED = [INDEX[name] for name in CALENDAR]


def cuts(subject: Subject) -> dict[str, list[int]]:
    """Where the future is cut off, by reason."""
    bars, audit = subject.made.bars, subject.settings.audit
    return where.places(
        bars.ts,
        np.concatenate([bars.values, subject.table.block.table(subject.table.plans)], axis=1),
        bars.column("cal.session"),
        [snapshot.fit_stop for snapshot in subject.table.snapshots],
        audit.cuts,
        generator(audit.seed, "audit", "cuts"),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lane:
    """Rows that one pipeline walks.

    Parameters
    ----------
    start, stop : the rows
    earlier : fits adopted before the first of them
    state : of the pipeline at `start`, None: as at the first bar
    later : fits adopted on the way, by row
    block : what the whole walk found, rows counted from `start`
    observed : its first and last + 1 row that a policy saw
    """

    start: int
    stop: int
    earlier: list[Snapshot]
    state: dict[str, Array] | None
    later: dict[int, Snapshot] = field(default_factory=dict)
    block: Block
    observed: tuple[int, int]


def lanes(subject: Subject) -> list[Lane]:
    """The feature table; and the rows that the fold sees by a fit that the table had given up by then."""
    table, rows, stop = subject.table, len(subject.made.bars), subject.state.fold.test.stop
    after = [s for s in table.snapshots if s.fit_stop > subject.state.snapshot.fit_stop]
    change = min([after[0].fit_stop, stop] if after else [stop])
    later = {snapshot.fit_stop: snapshot for snapshot in table.snapshots}
    first = Lane(start=0, stop=rows, earlier=[], state=None, later=later, block=table.block, observed=(0, change))
    if change == stop:
        return [first]
    earlier = [s for s in table.snapshots if s.fit_stop <= subject.state.snapshot.fit_stop]
    held = Lane(
        start=change,
        stop=stop,
        earlier=earlier,
        state=table.states[len(earlier)],
        block=subject.seen.block.part(change, stop),
        observed=(change, stop),
    )
    return [first, held]


class Areas:
    """What is compared, by name: from the features to the decision.

    Parameters
    ----------
    subject : of the audit
    check : how the future was taken away
    """

    def __init__(self, subject: Subject, check: str) -> None:
        self._subject, self._models = subject, model_columns(subject.table)
        plans, lesson = subject.table.plans, subject.lesson
        model: Any = plans.part("model")
        own: Any = plans.part("self")
        names = {
            "features": plans.market.columns,
            **{area: [model.names[c] for c in columns] for area, columns in self._models.items()},
            "belief": REGIMES,
            "self": own.names if own else (),
            "view": lesson.template.view,
            "masks": lesson.template.masks,
            "observation": lesson.template.names,
            "action": ("short", "flat", "long"),
        }
        self.changes = {area: Changes(area, check, columns) for area, columns in names.items() if len(columns)}

    def block(self, whole: Block, part: Block, first: int, cut: int) -> None:
        """Compare what the pipeline made of some rows."""
        self.changes["features"].see(whole.features, part.features, first, cut)
        self.changes["belief"].see(whole.belief, part.belief, first, cut)
        for area, columns in self._models.items():
            self.changes[area].see(whole.model[:, columns], part.model[:, columns], first, cut)
        if "self" in self.changes:
            self.changes["self"].see(whole.own, part.own, first, cut)

    def decisions(self, part: Block, first: int, cut: int) -> None:
        """Compare what a policy sees and does."""
        subject, rows = self._subject, slice(first, first + len(part))
        slots = subject.made.bars.values[rows, _SLOT].astype(np.int64)
        view, masks = subject.state.view.transform(part, slots)
        template = subject.lesson.template
        seen = template.batch(view, masks, part.belief, names=template.view)
        self.changes["view"].see(subject.seen.view[rows], view, first, cut)
        self.changes["masks"].see(subject.seen.masks[rows], masks, first, cut)
        self.changes["observation"].see(subject.lesson.tape.obs[rows], seen, first, cut)
        acted = subject.policy.table(subject.lesson.tape.obs[rows], POSITIONS)
        self.changes["action"].see(acted, subject.policy.table(seen, POSITIONS), first, cut)

    def findings(self) -> list[Finding]:
        """One line per area."""
        return [changes.finding() for changes in self.changes.values()]


def check(subject: Subject, places: Sequence[int], progress: Any) -> list[Finding]:
    """Walk again with the future cut off, and with it spoilt, at each of the places."""
    cut, spoilt = Areas(subject, CUT), Areas(subject, SPOILT)
    todo = lanes(subject)
    total, done = sum(lane.stop - lane.start for lane in todo), 0
    for lane in todo:
        for _first, stop in _walk(subject, lane, places, cut, spoilt):
            progress(done + stop - lane.start, total)
        done += lane.stop - lane.start
    return [*cut.findings(), *spoilt.findings(), *rules(subject, places)]


def _walk(subject: Subject, lane: Lane, places: Sequence[int], cut: Areas, spoilt: Areas) -> Iterator[tuple[int, int]]:
    """Walk one lane piece by piece, comparing; yields each piece's rows once done."""
    settings, bars = subject.settings, subject.made.bars
    rng = generator(settings.audit.seed, "audit", "poison")
    inside = {row for row in places if lane.start < row < lane.stop}
    ends = sorted({lane.start, lane.stop, *inside, *(row for row in lane.later if row < lane.stop)})
    walker, probe = (FeaturePipeline(subject.table.plans, settings.market, settings.memory) for _ in range(2))
    for pipeline in (walker, probe):
        for snapshot in lane.earlier:
            pipeline.adopt(snapshot)
    if lane.state is not None:
        walker.state = lane.state
    for begin, end in pairwise(ends):
        if begin in lane.later:
            walker.adopt(lane.later[begin], past(subject.made, subject.table, lane.later[begin]))
            probe.adopt(lane.later[begin])
        before = walker.state
        part = walker.advance(bars.ts[begin:end], bars.values[begin:end])
        whole = lane.block.part(begin - lane.start, end - lane.start)
        observed = lane.observed[0] <= begin and end <= lane.observed[1]
        cut.block(whole, part, begin, end)
        if observed:
            cut.decisions(part, begin, end)
        reach = min(end + settings.audit.poison_rows, len(bars)) if end in inside else end
        for kind in poison.KINDS if reach > end else ():
            rows = bars.values[begin:reach].copy()
            rows[end - begin :] = poison.spoilt(rows[end - begin :], _PLANNED, kind, rng)
            probe.state = before
            with np.errstate(all="ignore"):
                changed = probe.advance(bars.ts[begin:reach], rows).part(0, end - begin)
            spoilt.block(whole, changed, begin, end)
            if observed:
                spoilt.decisions(changed, begin, end)
        yield begin, end


def rules(subject: Subject, places: Sequence[int]) -> list[Finding]:
    """When to be flat and when to enter, with the future cut off."""
    settings, tape, block = subject.settings, subject.lesson.tape, subject.seen.block
    values = subject.made.bars.values
    changes = Changes("action", "entry rules", ("must_flat", "may_enter"))
    clock = [INDEX[f"cal.{name}"] for name in ("minutes_to_close", "minutes_to_rth_close", "rth")]
    safety = safety_columns(settings, subject.state.plans)
    for row in (row for row in places if row < len(tape)):
        times = [np.ascontiguousarray(values[:row, column]) for column in clock]
        flat = must_flat(*times, subject.made.bars.bar_minutes, settings.risk)
        enter = may_enter(block.features[:row], safety, warm_up=settings.risk.warm_up_bars)
        whole = np.column_stack([tape.must_flat[:row], tape.may_enter[:row]])
        changes.see(whole, np.column_stack([flat, enter]), 0, row)
    return [changes.finding()]

"""Bars and their companions made again from less: pieces that end at the cuts, and truncated copies of files."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain.bars import Bars
from mia.domain.errors import MiaError
from mia.domain.rng import generator
from mia.domain.series import INDEX, SERIES, SOURCE_GROUPS
from mia.evaluation.audit.changes import Changes
from mia.evaluation.audit.finding import Finding, skipped
from mia.task import ingest
from mia.task.audit_subject import Subject
from mia.task.companions import Companions
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray
MINUTE_NS = 60_000_000_000
_BESIDE = ("cross", "options", "news")


def stamps(subject: Subject) -> Finding:
    """Every bar is known no sooner than it closes, and closes inside its session."""
    bars, changes = subject.made.bars, Changes("bars", "stamps", ("available_at", "minutes since the open"))
    early = bars.available_at < bars.ts
    minute = bars.column("cal.minute")
    changes.see(np.zeros((len(bars), 2), bool), np.column_stack([early, ~(minute > 0)]), 0, len(bars))
    return changes.finding()


def companions(subject: Subject, places: Sequence[int], progress: Any) -> list[Finding]:
    """Join options, news and other markets to bars that end at each cut."""
    bars = subject.made.bars
    if subject.sessions is None:
        return [skipped("companions", "future cut off", "the bars came without a schedule")]
    present = [group for group in _BESIDE if group in bars.sources_present()]
    if not present:
        return [skipped("companions", "future cut off", "there are no options, news or other markets")]
    found = {group: Changes(group, "future cut off", SOURCE_GROUPS[group]) for group in present}
    columns = {group: [INDEX[name] for name in SOURCE_GROUPS[group]] for group in present}
    beside = Companions(subject.settings, subject.sessions)
    ends = sorted({0, len(bars), *places})
    for begin, end in pairwise(ends):
        part = beside.fill(_piece(bars, begin, end))
        for group, changes in found.items():
            changes.see(bars.values[begin:end, columns[group]], part.values[:, columns[group]], begin, end)
        progress(end, len(bars))
    return [changes.finding() for changes in found.values()]


def _piece(bars: Bars, begin: int, end: int) -> Bars:
    rows = slice(begin, end)
    return replace(bars, ts=bars.ts[rows], available_at=bars.available_at[rows], values=bars.values[rows])


def shorter(subject: Subject, watch: Watch) -> list[Finding]:
    """Make the bars again as if the record had ended sooner."""
    kind = subject.settings.source.kind
    if kind == "files":
        return list(_files(subject, watch))
    settings = subject.settings
    half = max(2, settings.source.sessions // 2)
    if half >= settings.source.sessions:
        return [skipped("bars", "shorter record", "too few sessions")]
    part = ingest.make(replace(settings, source=replace(settings.source, sessions=half)), watch)
    changes = Changes("bars", "shorter record", SERIES)
    changes.see(subject.made.bars.values[: len(part.bars)], part.bars.values, 0, len(part.bars))
    return [changes.finding()]


def _files(subject: Subject, watch: Watch) -> Iterator[Finding]:
    """Truncated copies of the user's files: random rows and every roll."""
    from mia.source.reading import read_files, stamps_ns

    settings, source, audit = subject.settings, subject.settings.source, subject.settings.audit
    frame = read_files(source, Path.cwd())
    at, missing = stamps_ns(frame, source)
    frame, at = frame[~missing], at[~missing]
    order = np.argsort(at, kind="stable")
    frame, at = frame.iloc[order].reset_index(drop=True), at[order]
    inside = np.flatnonzero((at >= subject.made.bars.ts[0]) & (at <= subject.made.bars.ts[-1]))
    rng = generator(audit.seed, "audit", "files")
    rows = {int(inside[0] + row) for row in rng.integers(len(inside) // 5, len(inside), audit.file_cuts)}
    if "roll" in frame:
        rolls = _rolls(frame["roll"])
        rows |= {int(row) + k for row in rolls[-audit.rolls :] for k in (0, 1)} if audit.rolls else set()
    changes = Changes("bars", "shorter record", SERIES)
    problems = 0
    with tempfile.TemporaryDirectory() as folder, watch.step("truncated files", len(rows)) as step:
        for row in sorted(row for row in rows if len(inside) // 10 < row <= len(frame)):
            path = Path(folder, "cut.parquet")
            frame.iloc[:row].to_parquet(path)
            until = int(at[row - 1])
            try:
                part = ingest.make(_copied(settings, frame, path, folder, until), watch_quietly()).bars
            except MiaError:
                problems += 1  # a first session cut in half may be refused as data; it is no look at the future
                continue
            finally:
                step.advance()
            known = part.ts <= until if source.content == "ticks" else np.ones(len(part), bool)
            count = int(known.sum())
            changes.see(subject.made.bars.values[:count], part.values[:count], 0, row)
    yield replace(changes.finding(), note=f"{problems} copies were too short to be read" if problems else "")


def watch_quietly() -> Watch:
    """A watch that says nothing, for work inside a step."""
    return Watch(quiet=True)


def _rolls(column: Any) -> Array:
    """Rows at which another contract begins."""
    text = column.astype(str).str.strip().str.lower()
    if text.isin(("true", "false", "0", "1", "0.0", "1.0")).all():
        return np.flatnonzero(text.isin(("true", "1", "1.0")).to_numpy())
    return np.flatnonzero(text.to_numpy()[1:] != text.to_numpy()[:-1]) + 1


def _copied(settings: RunSettings, frame: Any, path: Path, folder: str, until: int) -> RunSettings:
    """The settings that read the copy: its columns already carry the names the source gives them."""
    source = settings.source
    here = {field.name: field.name if field.name in frame else None for field in fields(source.columns)}
    series = {name: name for name in source.series}
    return replace(
        settings,
        source=replace(
            source,
            path=str(path),
            columns=replace(source.columns, **here),
            series=series,
            filters={},
            on_quality="warn",
            **truncated_companions(source, Path(folder), until),
        ),
    )


def truncated_companions(source: Any, folder: Path, until: int) -> dict[str, Any]:
    """Settings of copies of the companions' files without the rows that were not known at a moment [ns UTC].

    Series published by the day and open interest in a file of its own stay whole: their rows carry dates, not moments.
    """
    found: dict[str, Any] = {}
    if source.news is not None:
        column = source.news.received
        found["news"] = replace(source.news, path=_without(source.news, column, folder / "news", until, "source.news"))
    if source.releases is not None:
        column = source.releases.received or source.releases.time
        path = _without(source.releases, column, folder / "releases", until, "source.releases")
        found["releases"] = replace(source.releases, path=path)
    if source.chain is not None:
        before = until - (source.chain.minutes + source.chain.delay_minutes) * MINUTE_NS
        path = _without(source.chain, source.chain.time, folder / "chain", before, "source.chain")
        found["chain"] = replace(source.chain, path=path)
    found["cross"] = tuple(_cross(one, folder / f"cross_{at}", until) for at, one in enumerate(source.cross))
    return found


def _cross(one: Any, folder: Path, until: int) -> Any:
    if one.label == "day":
        return one
    column = one.available if one.label == "available" else one.time
    before = until - (one.minutes or 0) * MINUTE_NS
    return replace(one, path=_without(one, column, folder, before, f"source.cross {one.series}"))


def _without(settings: Any, column: str | None, folder: Path, until: int, where: str) -> str:
    """Copy the rows of a companion's files stamped up to a moment; returns the copy's path."""
    from mia.source.joined_table import tables

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, table in enumerate(tables(settings.path, settings.filters, Path.cwd(), where)):
        keep = table.stamps(column, settings.timezone, "time") <= until
        if keep.any() or number == 0:
            table.frame[keep].to_parquet(folder / f"{number:04d}.parquet")
    return str(folder)

"""Looks for anything that knows the future in a user's own data and features: `python -m mia task=audit +market=ES`.

Prints a table, writes outputs/audit/<market>/audit.json after every check, and ends with exit code 1 on a leak.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia.evaluation.audit import cuts as where
from mia.evaluation.audit.finding import CLEAN, LEAK, SKIPPED, WARNING, Finding
from mia.evaluation.audit.fits import Fit
from mia.task import audit_checks, audit_fits, audit_sources, audit_stream, audit_subject, planted_leaks, store
from mia.task.audit_subject import Subject
from mia.task.settings import RunSettings
from mia.task.watch import Watch

LEAKY = 1
_CALM = Watch(quiet=True)


@dataclass(frozen=True, slots=True)
class Check:
    """One step of the audit: what the progress line says, and what it finds."""

    title: str
    run: Callable[[Any], Any]


def checks(subject: Subject, places: dict[str, list[int]]) -> Iterator[Check]:
    """All checks, the cheap ones first."""
    every = where.merged(places)
    yield Check("stamps", lambda _: [audit_sources.stamps(subject)])
    yield Check("features, future gone", lambda step: audit_stream.check(subject, every, step))
    yield Check("companions", lambda step: audit_sources.companions(subject, every, step))
    yield Check("one bar's delay", lambda _: [audit_checks.delayed(subject)])
    yield Check("warm-up sweep", lambda _: [audit_checks.warm(subject)])
    yield Check("memory's embargo", lambda _: [audit_checks.embargo(subject)])
    yield Check("reward", lambda _: audit_checks.paid(subject))
    yield Check("fit log", lambda _: [audit_fits.log(subject)])
    yield Check("shorter record", lambda _: audit_sources.shorter(subject, _CALM))
    if subject.settings.audit.refit:
        yield Check("fold fitted again", lambda _: audit_fits.of_the_fold(subject, _CALM))
        yield Check("all fitted again", lambda _: audit_fits.below_the_policy(subject, _CALM))
    if subject.settings.audit.shuffles:
        yield Check("shuffled sessions", lambda step: [audit_checks.shuffled(subject, step)])


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> int:
    """Run every check; returns 1 if there is a leak, else 0."""
    target = store.folder(settings.outputs, "audit", settings.market.name) / "audit.json"
    found: list[Finding] = []
    with planted_leaks.planted(settings.audit.plant):
        subject = audit_subject.make(settings, watch)
        places = audit_stream.cuts(subject)
        for check in checks(subject, places):
            with watch.step(check.title) as step:
                found += check.run(step)
            _write(target, subject, places, found, finished=False)
    _write(target, subject, places, found, finished=True)
    _print(watch, subject, found, settings.audit.shown)
    watch.terminal.verdict(sentence(found))
    watch.say(f"wrote {target}")
    return LEAKY if leaks(found) else 0


def leaks(found: list[Finding]) -> list[Finding]:
    """Those findings that are leaks."""
    return [finding for finding in found if finding.verdict == LEAK]


def sentence(found: list[Finding]) -> str:
    """Say in plain words what was found and what to do."""
    bad = leaks(found)
    compared = [finding for finding in found if finding.verdict != SKIPPED]
    if bad:
        areas = ", ".join(dict.fromkeys(finding.area for finding in bad))
        columns = sum(len(finding.offences) for finding in bad)
        return (
            f"Something knows the future: {len(bad)} of {len(compared)} checks fail ({areas}; {columns} entries). "
            "Start with the first line marked LEAK: later ones often follow from it. audit.json names the column, "
            "the first row and the cut of each; a result made with this data or code is worth nothing until it is gone."
        )
    warned = sum(len(finding.offences) for finding in found if finding.verdict == WARNING)
    skipped = len(found) - len(compared)
    text = f"No leak: in {len(compared)} checks nothing that was known before a cut changed with what came after it."
    if warned:
        text += f" {warned} columns need a longer warm-up than they declare; that is no look at the future."
    if skipped:
        text += f" {skipped} checks had nothing to look at."
    return text


def _print(watch: Watch, subject: Subject, found: list[Finding], shown: int) -> None:
    watch.rows("leak audit", [finding.line() for finding in found])
    watch.rows("figures", [{"check": of.check, "of": of.area, "figure": of.note} for of in found if of.note])
    entries = [
        {"area": of.area, "check": of.check, "what": one.column, "row": one.row, "cut": one.cut, "how": one.detail}
        for of in leaks(found)
        for one in of.offences[:shown]
    ]
    if entries:
        watch.rows("what leaks, worst of each check", entries)
    log = next((finding for finding in found if finding.check == "fit log"), None)
    if log is not None:
        watch.rows("what was fitted on which rows", _short(log.facts["log"]))
    warned = [finding for finding in found if finding.verdict == WARNING]
    for finding in warned:
        rows = [{"column": one.column, "warm-up": one.detail} for one in finding.offences[:shown]]
        watch.rows(f"warm-up too short: {len(finding.offences)} columns, first {len(rows)}", rows)


def _short(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fit log with one line for what was fitted on the same rows of the same fit."""
    lines: dict[tuple[Any, ...], list[str]] = {}
    for entry in log:
        group, _, what = entry["what"].partition(": ")
        lines.setdefault((group, entry["first"], entry["stop"], entry["used"]), []).append(what)
    return [
        Fit(what=f"{group}: {', '.join(names)}", first=first, stop=stop, used=used).line()
        for (group, first, stop, used), names in lines.items()
    ]


def _write(target: Path, subject: Subject, places: Any, found: list[Finding], *, finished: bool) -> None:
    bars = subject.made.bars
    store.write_json(
        target,
        {
            "schema": 1,
            "market": subject.settings.market.name,
            "finished": finished,
            "verdict": "leak" if leaks(found) else CLEAN,
            "sentence": sentence(found),
            "plant": subject.settings.audit.plant,
            "data_digest": subject.made.digest,
            "features": len(subject.table.plans.names),
            "rows": len(bars),
            "span": [int(bars.ts[0]), int(bars.ts[-1])],
            "cuts": {reason: len(rows) for reason, rows in places.items()},
            "findings": [finding.to_dict() for finding in found],
        },
    )

"""What is wrong with recorded data, counted and named: made by `files`, can stop a run."""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mia.domain.market import Market
from mia.domain.sessions import Sessions

Array = np.ndarray

OUTLIER_SD = 20.0
ROLL_JUMP = 0.004  # a quarter's carry is near 1 % of an index; 0.4 % between two bars in a roll week is suspect
ROLL_DAYS = 8
FULL_DAY_MINUTES = 1000  # in shorter sessions the night's move hides a roll
HALT_MINUTES = 15
SHORT_SHARE = 0.8
MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One kind of defect: how often, where first, and how bad (info, warning, error)."""

    name: str
    count: int
    first: str
    severity: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """All findings about one table.

    Parameters
    ----------
    findings : in order of discovery; kinds that did not occur have count 0
    measures : other figures by name, e.g. longest gap [minutes], roll jumps [ticks]
    """

    findings: tuple[Finding, ...]
    measures: dict[str, Any]

    def table(self) -> tuple[dict[str, Any], ...]:
        """Rows for people: name, count, first example, severity; only what occurred."""
        return tuple(
            {"name": f.name, "count": f.count, "first": f.first, "severity": f.severity}
            for f in self.findings
            if f.count
        )

    def count(self, name: str) -> int:
        """Occurrences of one kind, 0 if it was never looked for."""
        return sum(f.count for f in self.findings if f.name == name)

    def to_json(self) -> dict[str, Any]:
        """Everything, as a JSON-able dictionary."""
        return {"findings": [asdict(f) for f in self.findings], "measures": self.measures}

    def failures(self, limits: dict[str, int | None]) -> list[str]:
        """One line per limit that is passed; `limits` maps a finding's or measure's name to its maximum."""
        lines = []
        for name, limit in limits.items():
            found = [f for f in self.findings if f.name == name]
            value = found[0].count if found else self.measures.get(name, 0)
            if limit is not None and value > limit:
                first = f", first {found[0].first}" if found and found[0].first else ""
                remedy = f"; {found[0].remedy}" if found and found[0].remedy else ""
                lines.append(f"{name}: {value}, allowed {limit}{first}{remedy}")
        return lines


def finding(name: str, mask: Array, ts: Array, severity: str, remedy: str = "", what: Any = None) -> Finding:
    """Count where `mask` holds; the first example shows its stamp and, if given, its value."""
    at = np.flatnonzero(mask)
    first = ""
    if len(at):
        first = stamp(ts[at[0]])
        if what is not None:
            first += f" ({what[at[0]]})"
    return Finding(name=name, count=len(at), first=first, severity=severity, remedy=remedy)


def stamp(ns: int) -> str:
    """Readable UTC time."""
    return str(np.datetime64(int(ns), "ns"))[:19].replace("T", " ") + " UTC"


def inspect_bars(
    ts: Array, ohlc: Array, volume: Array, bar_minutes: int, sessions: Sessions, market: Market, rolls: Array
) -> tuple[list[Finding], dict[str, Any]]:
    """Look for gaps, halts, outliers, unmarked rolls and missing sessions in clean bars.

    Parameters
    ----------
    ts : (T,) int64, close stamps in order [ns UTC], all inside sessions
    ohlc : (T, 4) [ticks]; volume : (T,) [count], NaN if unknown
    rolls : (T,) bool, rows whose jump was removed
    """
    found, measures = _gaps(ts, bar_minutes, sessions)
    found.append(_halts(ts, volume, bar_minutes, sessions))
    found.append(_outliers(ts, ohlc, sessions))
    if sessions.full_minutes > FULL_DAY_MINUTES:
        found.append(_unmarked_rolls(ts, ohlc, rolls, market))
    found += _sessions_missing(ts, bar_minutes, sessions)
    found.append(finding("zero volume", volume == 0, ts, "info"))
    return found, measures


def _gaps(ts: Array, bar_minutes: int, sessions: Sessions) -> tuple[list[Finding], dict[str, Any]]:
    inside = sessions.index(ts)
    step = np.diff(ts)
    same = inside[1:] == inside[:-1]
    hole = np.where(same, step - bar_minutes * MINUTE_NS, 0)
    short_last = np.isin(ts[1:], sessions.close_ns)
    mask = np.concatenate([[False], (hole > 0) & ~short_last]) if len(ts) else np.zeros(0, bool)
    longest = int(hole.max() // MINUTE_NS) if len(hole) else 0
    return [finding("gaps", mask, ts, "warning")], {"longest gap [minutes]": longest}


def _halts(ts: Array, volume: Array, bar_minutes: int, sessions: Sessions) -> Finding:
    """Stretches of regular hours of 15 minutes and more in which nothing traded or no bar was written."""
    at = sessions.index(ts)
    regular = (ts > sessions.rth_open_ns[at]) & (ts <= sessions.rth_close_ns[at])
    alive = np.flatnonzero(regular & ~(volume == 0))
    idle = np.zeros(len(ts), bool)
    quiet = ts[alive][1:] - ts[alive][:-1] - bar_minutes * MINUTE_NS
    same = at[alive][1:] == at[alive][:-1]
    idle[alive[1:]] = same & (quiet >= HALT_MINUTES * MINUTE_NS)
    return finding("halts", idle, ts, "info")


def _outliers(ts: Array, ohlc: Array, sessions: Sessions) -> Finding:
    """Within-session returns beyond 20 robust standard deviations (1.4826 x median absolute deviation)."""
    mask = np.zeros(len(ts), bool)
    if len(ts) > 2:
        at = sessions.index(ts)
        r = np.diff(np.log(np.maximum(ohlc[:, 3], 1)))
        r[at[1:] != at[:-1]] = 0.0
        moved = np.abs(r[r != 0.0])
        if len(moved):
            mask[1:] = np.abs(r) > OUTLIER_SD * 1.4826 * np.median(moved)
    return finding("outliers", mask, ts, "warning", "look at the bar, then raise source.max_outliers")


def _unmarked_rolls(ts: Array, ohlc: Array, rolls: Array, market: Market) -> Finding:
    """Jumps of a roll's size between two bars in the week of a roll that no column marks."""
    mask = np.zeros(len(ts), bool)
    if len(ts) > 1:
        jump = np.abs(ohlc[1:, 0] / np.maximum(ohlc[:-1, 3], 1) - 1)
        suspects = np.flatnonzero((jump > ROLL_JUMP) & ~rolls[1:]) + 1
        for k in suspects:
            mask[k] = in_roll_week(int(ts[k]), market)
    return finding("unmarked roll jumps", mask, ts, "warning", "name the column that marks rolls")


def in_roll_week(ns: int, market: Market) -> bool:
    """Whether a stamp lies within eight days before, or three after, the third Friday of a roll month."""
    day = dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC).date()
    if day.month not in market.roll_months:
        return False
    first = day.replace(day=1)
    third_friday = first + dt.timedelta(days=(4 - first.weekday()) % 7 + 14)
    return -3 <= (third_friday - day).days <= ROLL_DAYS


def _sessions_missing(ts: Array, bar_minutes: int, sessions: Sessions) -> list[Finding]:
    if not len(ts):
        return []
    at = sessions.index(ts)
    covered = np.arange(at[0], at[-1] + 1)
    rows = np.bincount(at - at[0], minlength=len(covered))
    length = sessions.close_ns[covered] - sessions.open_ns[covered]
    planned = np.maximum(length // (bar_minutes * MINUTE_NS), 1)
    opens = sessions.open_ns[covered]
    dates = sessions.trade_date[covered]
    return [
        finding("missing sessions", rows == 0, opens, "warning", what=dates),
        finding("short sessions", (rows > 0) & (rows < SHORT_SHARE * planned), opens, "info", what=dates),
    ]

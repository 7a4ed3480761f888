"""Market data to closed bars: the first stage, and the only one that knows where rows come from."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain import digest
from mia.domain.bars import Bars
from mia.domain.errors import ConfigurationError, DataError
from mia.domain.sessions import Sessions
from mia.task import store
from mia.task.settings import RunSettings
from mia.task.watch import Watch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ingested:
    """Closed, annotated bars and what is known about them.

    Parameters
    ----------
    bars : T rows, calendar columns filled
    session_minutes : length of an ordinary full session [minutes]
    quality : rows of the data-quality report (name, count, ...), empty for a simulated market
    facts : where the rows came from, for people
    digest : SHA-256 of stamps and values
    """

    bars: Bars
    session_minutes: int
    quality: tuple[dict[str, Any], ...]
    facts: dict[str, Any]
    digest: str


def make(settings: RunSettings, watch: Watch) -> Ingested:
    """Read or simulate the bars a run asks for.

    Raises
    ------
    DataError : if the rows are unusable as declared.
    """
    from mia.calendar.clock import annotate

    makers = {"simulated": _simulated, "files": _files}
    if settings.source.kind not in makers:
        raise ConfigurationError(
            f"source={settings.source.name} is no market to walk through; it belongs to task=known_world"
        )
    bars, sessions, quality, facts = makers[settings.source.kind](settings, watch)
    bars = annotate(bars, sessions, settings.market)
    return _ingested(bars, sessions.full_minutes, quality, facts)


def _ingested(bars: Bars, session_minutes: int, quality: Any, facts: dict[str, Any]) -> Ingested:
    return Ingested(
        bars=bars,
        session_minutes=session_minutes,
        quality=tuple(quality),
        facts=facts,
        digest=digest.of_arrays(bars.ts, bars.values),
    )


def _simulated(settings: RunSettings, watch: Watch) -> tuple[Bars, Sessions, Any, dict[str, Any]]:
    from mia.source.simulated import SimulatedMarket

    source, market = settings.source, settings.market
    sessions = _first_sessions(market, source)
    with watch.step("simulate the order book", len(sessions)) as progress:
        bars = SimulatedMarket(market, source, settings.seed).table(sessions, progress=progress)
    return bars, sessions, (), {"data": "simulated", "alpha": source.alpha, "source seed": settings.seed}


def _first_sessions(market: Any, source: Any) -> Sessions:
    """The first `source.sessions` sessions from `source.start` on."""
    from dataclasses import replace

    from mia.calendar import exchange

    start = date.fromisoformat(source.start)
    found = exchange.sessions(market, start, start + timedelta(days=20 + source.sessions * 2), hours=source.hours)
    if len(found) < source.sessions:
        raise DataError(
            f"source.sessions {source.sessions} reaches beyond the calendar's {len(found)} sessions from {start}; "
            "ask for fewer or start earlier"
        )
    names = ("open_ns", "close_ns", "rth_open_ns", "rth_close_ns", "trade_date")
    return replace(found, **{name: getattr(found, name)[: source.sessions] for name in names})


def _files(settings: RunSettings, watch: Watch) -> tuple[Bars, Sessions, Any, dict[str, Any]]:
    from mia.calendar import exchange
    from mia.source.files import FilesSource

    source = settings.source
    with watch.step("read files"):
        reader = FilesSource(settings.market, source, Path.cwd())
        first, last = reader.span()
        sessions = exchange.sessions(
            settings.market,
            first - timedelta(days=4),
            last + timedelta(days=4),
            hours=source.hours,
            calendar=source.calendar,
        )
        bars = reader.table(sessions)
    made_by = "simulated" if source.simulated else "files"
    return bars, sessions, reader.quality.table(), {"data": made_by, "path": source.path}


def save(made: Ingested, target: Path) -> None:
    """Write bars.parquet and about.json as one folder."""
    from mia.source import table

    with store.replacing(target) as fresh:
        table.write(made.bars, fresh / "bars.parquet")
        store.write_json(
            fresh / "about.json",
            {
                "session_minutes": made.session_minutes,
                "facts": made.facts,
                "digest": made.digest,
                "quality": list(made.quality),
            },
        )


def load(settings: RunSettings) -> Ingested:
    """Read what `save` wrote for the market.

    Raises
    ------
    ArtefactMissing : if the stage has not run.
    """
    from mia.source import table

    market = settings.market.name
    target = store.folder(settings.outputs, "ingest", market)
    about = store.read_json(target / "about.json", f"python -m mia +market={market} task=ingest")
    bars = table.read(target / "bars.parquet")
    made = _ingested(bars, about["session_minutes"], about["quality"], about["facts"])
    if made.digest != about["digest"]:
        raise DataError(f"{target} was altered since it was written; run python -m mia +market={market} task=ingest")
    return made


def describe(made: Ingested) -> dict[str, Any]:
    """Facts for people: rows, span, sessions."""
    ts = made.bars.ts
    sessions = np.unique(made.bars.column("cal.session"))
    return {
        **made.facts,
        "bars": len(made.bars),
        "bar minutes": made.bars.bar_minutes,
        "sessions": len(sessions),
        "from": str(np.datetime64(int(ts[0]), "ns"))[:16] + " UTC",
        "to": str(np.datetime64(int(ts[-1]), "ns"))[:16] + " UTC",
    }


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Run the stage on its own."""
    made = make(settings, watch)
    target = store.folder(settings.outputs, "ingest", settings.market.name)
    save(made, target)
    watch.facts("bars", describe(made))
    watch.say(f"wrote {target}")

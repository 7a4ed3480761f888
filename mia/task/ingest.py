"""Market data to closed bars: the first stage, and the only one that knows where rows come from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain import digest
from mia.domain.bars import Bars
from mia.domain.errors import ConfigurationError, DataError
from mia.domain.series import SOURCE_GROUPS
from mia.domain.sessions import Sessions
from mia.task import companions, store
from mia.task.settings import RunSettings
from mia.task.watch import Watch

CHUNK_ROWS = 20_000


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


@dataclass(slots=True, kw_only=True, eq=False)
class Feed:
    """Where rows come from, opened: consecutive pieces of bars, complete with their companions.

    Parameters
    ----------
    pieces : closed bars in order, calendar columns not filled
    sessions : the market's schedule
    facts : where the rows come from, for people
    quality : gives the data-quality report once all pieces are read
    """

    pieces: Iterator[Bars]
    sessions: Sessions
    facts: dict[str, Any]
    quality: Callable[[], Any] = field(default=tuple)


def opened(settings: RunSettings, watch: Watch) -> Feed:
    """Open the source a run asks for; rows come when its pieces are asked for."""
    makers = {"simulated": _simulated, "files": _files}
    if settings.source.kind not in makers:
        raise ConfigurationError(
            f"source={settings.source.name} is no market to walk through; it belongs to task=known_world"
        )
    return makers[settings.source.kind](settings, watch)


def complete(settings: RunSettings, feed: Feed) -> Iterator[Bars]:
    """Pieces with calendar, options and news columns filled."""
    from mia.calendar.clock import annotate

    beside = companions.Companions(settings, feed.sessions)
    session = -1
    for piece in feed.pieces:
        if len(piece):
            bars = annotate(piece, feed.sessions, settings.market, previous_session=session)
            session = int(bars.column("cal.session")[-1])
            yield beside.fill(bars)
    beside.check()


def make(settings: RunSettings, watch: Watch) -> Ingested:
    """Read or simulate the bars a run asks for.

    Raises
    ------
    DataError : if the rows are unusable as declared.
    """
    feed = opened(settings, watch)
    bars = _joined(list(complete(settings, feed)))
    return Ingested(
        bars=bars,
        session_minutes=feed.sessions.full_minutes,
        quality=tuple(feed.quality()),
        facts=feed.facts,
        digest=_digest(bars),
    )


def _joined(pieces: list[Bars]) -> Bars:
    """One table of consecutive pieces; they are let go while it grows, so that memory is not needed twice."""
    if not pieces:
        raise DataError("the source gave no bar; widen its span")
    first, rows = pieces[0], sum(len(piece) for piece in pieces)
    values, at = np.empty((rows, first.values.shape[1])), 0
    stamps = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("ts", "available_at")}
    while pieces:
        piece = pieces.pop(0)
        values[at : at + len(piece)] = piece.values
        at += len(piece)
    return replace(first, values=values, **stamps)


def _digest(bars: Bars) -> str:
    running = digest.Running("ts", "values")
    running.add(ts=bars.ts, values=bars.values)
    return running.hexdigest()


def _simulated(settings: RunSettings, watch: Watch) -> Feed:
    from mia.source.simulated import SimulatedMarket

    source, market = settings.source, settings.market
    sessions = _first_sessions(market, source)

    def pieces() -> Iterator[Bars]:
        with watch.step("simulate the order book", len(sessions)) as progress:
            for done, bars in enumerate(SimulatedMarket(market, source, settings.seed).chunks(sessions)):
                yield bars
                progress(min(done + 1, len(sessions)), len(sessions))

    facts = {"data": "simulated", "alpha": source.alpha, "source seed": settings.seed}
    return Feed(pieces=pieces(), sessions=sessions, facts=facts)


def _first_sessions(market: Any, source: Any) -> Sessions:
    """The first `source.sessions` sessions from `source.start` on."""
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


def _files(settings: RunSettings, watch: Watch) -> Feed:
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
        pieces = reader.chunks(sessions, CHUNK_ROWS)
    facts = {"data": "simulated" if source.simulated else "files", "path": source.path}
    return Feed(pieces=pieces, sessions=sessions, facts=facts, quality=lambda: reader.quality.table())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """Bars on disk.

    Parameters
    ----------
    folder : of the ingest stage
    market : its name
    bar_minutes, session_minutes, rows, sources, quality, facts, digest : what is known about them
    """

    folder: Path
    market: str
    bar_minutes: int
    session_minutes: int
    rows: int
    sources: tuple[str, ...]
    quality: tuple[dict[str, Any], ...]
    facts: dict[str, Any]
    digest: str

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Bars]:
        """Read the bars piece by piece; DataError at the end if they are not those that were written."""
        from mia.source import table_stream

        running = digest.Running("ts", "values")
        path = self.folder / "bars.parquet"
        for bars in table_stream.chunks(path, market=self.market, bar_minutes=self.bar_minutes, rows=rows):
            running.add(ts=bars.ts, values=bars.values)
            yield bars
        if running.hexdigest() != self.digest:
            raise DataError(
                f"{self.folder} was altered since it was written; run python -m mia +market={self.market} task=ingest"
            )


def write(settings: RunSettings, target: Path, watch: Watch) -> None:
    """Write bars.parquet and about.json as one folder, piece by piece."""
    from mia.source.table_stream import Writer

    feed = opened(settings, watch)
    running, rows, sources = digest.Running("ts", "values"), 0, set()
    with store.replacing(target) as fresh:
        writer, last = Writer(fresh / "bars.parquet"), None
        try:
            for bars in gathered(complete(settings, feed)):
                writer.add(bars)
                running.add(ts=bars.ts, values=bars.values)
                rows, sources, last = rows + len(bars), sources | set(bars.sources_present()), bars
        finally:
            writer.close()
        if last is None:
            raise DataError(f"source={settings.source.name} gave no bar; widen its span")
        about = {
            "bar_minutes": last.bar_minutes,
            "session_minutes": feed.sessions.full_minutes,
            "rows": rows,
            "sources": [source for source in SOURCE_GROUPS if source in sources],
            "facts": feed.facts,
            "digest": running.hexdigest(),
            "quality": list(feed.quality()),
            "asked": asked(settings),
        }
        store.write_json(fresh / "about.json", about)


def gathered(pieces: Iterator[Bars], rows: int = CHUNK_ROWS) -> Iterator[Bars]:
    """Pieces of at least so many rows: a Parquet file pays for every piece it is written in."""
    waiting: list[Bars] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(len(bars) for bars in waiting) >= rows:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def asked(settings: RunSettings) -> str:
    """SHA-256 of what decides the bars: market, source, options, news and, if simulated, the seed."""
    from dataclasses import asdict

    rooms = [asdict(settings.market), asdict(settings.source), asdict(settings.options), asdict(settings.news)]
    return digest.of_json([*rooms, settings.seed if settings.source.kind == "simulated" else None])


def stored(settings: RunSettings) -> Stored:
    """What is on disk for the market.

    Raises
    ------
    ArtefactMissing : if the stage has not run.
    """
    market = settings.market.name
    target = store.folder(settings.outputs, "ingest", market)
    about = store.read_json(target / "about.json", f"python -m mia +market={market} task=ingest")
    about.pop("asked")
    lists = {name: tuple(about.pop(name)) for name in ("sources", "quality")}
    return Stored(folder=target, market=market, **lists, **about)


def ensured(settings: RunSettings, watch: Watch) -> Stored:
    """What is on disk for the market if it is what the configuration asks for; otherwise made now."""
    target = store.folder(settings.outputs, "ingest", settings.market.name)
    path = target / "about.json"
    if not path.is_file() or store.read_json(path, "").get("asked") != asked(settings):
        watch.say("no bars of these settings on disk: running task=ingest first")
        write(settings, target, watch)
    return stored(settings)


def load(settings: RunSettings) -> Ingested:
    """Read all bars of `stored` into memory."""
    found = stored(settings)
    return Ingested(
        bars=_joined(list(found.chunks())),
        session_minutes=found.session_minutes,
        quality=found.quality,
        facts=found.facts,
        digest=found.digest,
    )


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
    target = store.folder(settings.outputs, "ingest", settings.market.name)
    write(settings, target, watch)
    found = stored(settings)
    facts = {
        **found.facts,
        "bars": found.rows,
        "bar minutes": found.bar_minutes,
        "sources": ", ".join(found.sources),
        "digest": found.digest[:16],
    }
    watch.facts("bars", facts)
    watch.say(f"wrote {target}")

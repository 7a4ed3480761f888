"""Bars to the feature table, fitting again as history grows: the walk that later stages slice into folds."""

import csv
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mia.desk.feature_pipeline import Block, FeaturePipeline
from mia.desk.plans import Plans, compile_plans
from mia.desk.settings import SnapshotSettings
from mia.desk.snapshot import Snapshot
from mia.domain import digest
from mia.domain.errors import ArtefactMismatch, ConfigurationError
from mia.domain.series import INDEX, MODEL_SERIES, SELF_SERIES
from mia.features.catalogue import expand
from mia.regime.regime_detector import REGIMES
from mia.task import ingest, snapshots, store, warm
from mia.task.ingest import Ingested
from mia.task.settings import RunSettings
from mia.task.snapshots import Lesson
from mia.task.watch import Watch

Array = np.ndarray
MOST_NAMED = 4
MODEL_GROUPS = (*MODEL_SERIES.groups, *SELF_SERIES.groups)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureTable:
    """Features of all bars, each row by the newest fit on rows before it.

    Parameters
    ----------
    plans : what was computed
    block : T rows
    snapshots : the fits, in order
    states : the pipeline's state just before each of them was adopted
    """

    plans: Plans
    block: Block
    snapshots: list[Snapshot] = field(default_factory=list)
    states: list[dict[str, Array]] = field(default_factory=list)


class Schedule:
    """Tells, row by row, when the next fit is due: after so many complete sessions.

    Parameters
    ----------
    settings : first fit and growth
    """

    def __init__(self, settings: SnapshotSettings) -> None:
        self._settings = settings
        self._session = np.nan
        self._complete = -1
        self._due = settings.first_sessions

    def cuts(self, session: Array) -> list[int]:
        """Return the rows of a chunk, given their sessions (n,), at which a fit is due before going on."""
        found = []
        changes = np.flatnonzero(session != np.concatenate([[self._session], session[:-1]]))
        for row in changes:
            self._complete += 1
            if self._complete == self._due:
                found.append(int(row))
                self._due = self._settings.next_after(self._complete)
        if len(session):
            self._session = session[-1]
        return found


class Recent:
    """The newest rows and what became of them, at most so many: what the next fit may read.

    Parameters
    ----------
    most : rows kept
    bar_minutes : length of a bar [minutes]
    whole : (ts, values, block) of all rows if they are in memory anyway and `block` fills as rows go by; nothing is
        then kept twice
    """

    def __init__(self, most: int, bar_minutes: int, whole: tuple[Array, Array, Block] | None = None) -> None:
        self._most, self._bar_minutes, self._whole = most, bar_minutes, whole
        self._pieces: list[tuple[Array, Array, Block]] = []
        self._seen = 0

    def add(self, ts: Array, values: Array, block: Block) -> None:
        """Remember rows; forget the oldest pieces that are not needed any more."""
        self._seen += len(ts)
        if self._whole is not None:
            return
        self._pieces.append((ts, values, block))
        while sum(len(piece[0]) for piece in self._pieces[1:]) >= self._most:
            self._pieces.pop(0)

    def lesson(self) -> Lesson:
        """Return the newest rows."""
        ts, values, block = self._rows()
        return Lesson(start=self._seen - len(ts), bar_minutes=self._bar_minutes, ts=ts, values=values, block=block)

    def _rows(self) -> tuple[Array, Array, Block]:
        if self._whole is not None:
            ts, values, block = self._whole
            first = max(0, self._seen - self._most)
            return ts[first : self._seen], values[first : self._seen], block.part(first, self._seen)
        blocks = [piece[2] for piece in self._pieces]
        parts = {
            name: _joined([getattr(block, name) for block in blocks])[-self._most :]
            for name in ("features", "model", "own", "belief")
        }
        ts, values = (_joined([piece[k] for piece in self._pieces])[-self._most :] for k in (0, 1))
        return ts, values, Block(**parts)


def _joined(parts: list[Array]) -> Array:
    """One array of consecutive pieces, without a copy where there is only one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def plans_of(settings: RunSettings, bar_minutes: int, session_minutes: int) -> Plans:
    """Compile the configured features for the market and bar length at hand."""
    specs = expand(settings.features.groups)
    plans = compile_plans(specs, settings.market, bar_minutes=bar_minutes, session_minutes=session_minutes)
    settings.features.check_count(len(plans.names))
    return plans


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Rows between two fits.

    Parameters
    ----------
    start : number of the first row since the first bar
    ts, values : of the rows
    block : what became of them
    learned : snapshot and pipeline state before it, if the piece begins with a fit
    """

    start: int
    ts: Array
    values: Array
    block: Block
    learned: tuple[Snapshot, dict[str, Array]] | None


def walk(
    settings: RunSettings,
    plans: Plans,
    bar_minutes: int,
    chunks: Iterator[tuple[Array, Array]],
    watch: Watch,
    folder: Path | None = None,
    whole: tuple[Array, Array, Block] | None = None,
) -> Iterator[Piece]:
    """Walk rows chunk by chunk, fitting where the schedule says so; memory is bounded by chunk and `most_rows`.

    Parameters
    ----------
    bar_minutes : length of a bar [minutes]
    chunks : (ts (n,), values (n, WIDTH)) of consecutive rows
    folder : where encoders keep their checkpoints while they learn
    whole : as for `Recent`; the block must hold a piece before the next is asked for
    """
    pipeline = FeaturePipeline(plans, settings.market, settings.memory)
    schedule, recent = Schedule(settings.snapshots), Recent(settings.snapshots.most_rows, bar_minutes, whole)
    at = 0
    for ts, values in chunks:
        cuts = schedule.cuts(values[:, INDEX["cal.session"]])
        edges = sorted({0, *cuts, len(ts)})
        for begin, end in pairwise(edges):
            learned = None
            if begin in cuts:
                before = pipeline.state
                lesson = recent.lesson()
                snapshot = _fit(settings, plans, lesson, pipeline.snapshot, watch, folder)
                pipeline.adopt(snapshot, lesson.past)
                del lesson  # its rows are copies; they must not wait for the next fit
                learned = (snapshot, before)
            if end > begin:
                block = pipeline.advance(ts[begin:end], values[begin:end])
                recent.add(ts[begin:end], values[begin:end], block)
                yield Piece(start=at, ts=ts[begin:end], values=values[begin:end], block=block, learned=learned)
                at += end - begin


def _fit(
    settings: RunSettings, plans: Plans, lesson: Lesson, previous: Snapshot | None, watch: Watch, folder: Path | None
) -> Snapshot:
    number = previous.index + 2 if previous else 1
    with watch.step(f"fit {number} on {len(lesson.ts):,} bars") as step:
        return snapshots.fit(settings, plans, lesson, previous, step, folder, _logger(watch))


def _logger(watch: Watch) -> Any:
    """Gives Lightning loggers that write to the run's tracker, if it keeps a record."""
    if watch.tracker.mode == "off":
        return None
    from mia.tracking.lightning_logger import lightning_logger

    return lambda index: lightning_logger(watch.tracker, f"encoder/fit_{index}")


def make(settings: RunSettings, made: Ingested, watch: Watch) -> FeatureTable:
    """Walk all bars in memory."""
    plans = plans_of(settings, made.bars.bar_minutes, made.session_minutes)
    table = FeatureTable(plans=plans, block=Block.empty(len(made.bars), plans))
    ts, values = made.bars.ts, made.bars.values
    whole = (ts, values, table.block)
    for piece in walk(settings, plans, made.bars.bar_minutes, iter([(ts, values)]), watch, whole=whole):
        table.block.put(piece.start, piece.block)
        if piece.learned is not None:
            table.snapshots.append(piece.learned[0])
            table.states.append(piece.learned[1])
    return table


def newest(settings: RunSettings, fits: list[Snapshot], row: int) -> Snapshot:
    """The newest of some fits on rows before `row` only.

    Raises
    ------
    ConfigurationError : if nothing had been fitted by then.
    """
    before = [snapshot for snapshot in fits if snapshot.fit_stop <= row]
    if not before:
        raise _no_fit(settings, row)
    return before[-1]


def check_fits(settings: RunSettings, session: Array, row: int) -> None:
    """Refuse, before anything is computed, rows whose sessions give no fit before `row`; errors as in `newest`."""
    cuts = Schedule(settings.snapshots).cuts(session)
    if not cuts or cuts[0] > row:
        raise _no_fit(settings, row)


def _no_fit(settings: RunSettings, row: int) -> ConfigurationError:
    return ConfigurationError(
        f"training ends at bar {row} but snapshots.first_sessions asks for {settings.snapshots.first_sessions} "
        "complete sessions before the first fit; lower it, or train on more sessions"
    )


def frozen(settings: RunSettings, made: Ingested, table: FeatureTable, row: int, stop: int) -> tuple[Snapshot, Block]:
    """Rows 0 to `stop - 1` as a bundle trained at `row` sees them: later fits have not happened."""
    snapshot = newest(settings, table.snapshots, row)
    after = table.snapshots[snapshot.index + 1 :]
    change = after[0].fit_stop if after else len(table.block)
    if change >= stop:
        return snapshot, table.block.part(0, stop)
    pipeline = FeaturePipeline(table.plans, settings.market, settings.memory)
    pipeline.adopt(snapshot)
    pipeline.state = table.states[snapshot.index + 1]
    block = Block.empty(stop, table.plans)
    block.put(0, table.block.part(0, change))
    block.put(change, pipeline.advance(made.bars.ts[change:stop], made.bars.values[change:stop]))
    return snapshot, block


def catalogue_rows(plans: Plans, present: tuple[str, ...], counted: "Counts") -> list[dict[str, Any]]:
    """One row per feature in the order declared: name, family, unit, range, warm-up, sources, share of bars with it."""
    fitted = plans.market.learned_nodes
    at = {name: column for column, name in enumerate(plans.names)}
    rows = []
    for spec in plans.specs:
        sources = plans.sources(spec.name)
        missing = [source for source in sources if source not in (*present, *MODEL_GROUPS)]
        share = counted.share(at[spec.name])
        status = "fitted as history grows" if spec.name in fitted or set(sources) & set(MODEL_GROUPS) else "computed"
        if missing:
            status = f"masked: no {', '.join(missing)}"
        elif share == 0.0:
            status = "masked: no value in these bars"
        rows.append(
            {
                "name": spec.name,
                "family": spec.family,
                "unit": spec.unit,
                "low": spec.low,
                "high": spec.high,
                "warm_up_bars": spec.warm_bars,
                "sources": "+".join(sources),
                "available": round(share, 4),
                "first_bar": counted.first(at[spec.name]),
                "status": status,
            }
        )
    return rows


def family_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The catalogue in short: per family how many columns, how many have values, and on what share of bars."""
    families: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault(row["family"], []).append(row)
    return [_family_row(name, members) for name, members in [*families.items(), ("all", rows)]]


def _family_row(name: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    masked = [row for row in members if row["status"].startswith("masked")]
    reasons = sorted({row["status"].removeprefix("masked: ") for row in masked})
    lacking = [*reasons, *(row["name"] for row in masked)] if len(masked) <= MOST_NAMED else reasons
    there = [row["available"] for row in members if row not in masked]
    return {
        "family": name,
        "columns": len(members),
        "with values": len(there),
        "share of bars": f"{np.mean(there):.0%}" if there else "-",
        "the others": ", ".join(lacking) if name != "all" else "",
    }


class Counts:
    """How often each column has a value, counted as rows go by."""

    def __init__(self, columns: int) -> None:
        self._found = np.zeros(columns, np.int64)
        self._first = np.full(columns, -1, np.int64)
        self.rows = 0

    def add(self, table: Array) -> None:
        """Count (n, F) more rows."""
        finite = np.isfinite(table)
        new = (self._first < 0) & finite.any(axis=0)
        self._first[new] = self.rows + finite[:, new].argmax(axis=0)
        self._found += finite.sum(axis=0)
        self.rows += len(table)

    def share(self, column: int) -> float:
        """Share of rows with a value."""
        return float(self._found[column] / max(self.rows, 1))

    def first(self, column: int) -> int | None:
        """Number of the first row with a value."""
        return int(self._first[column]) if self._first[column] >= 0 else None


class Files:
    """Writes features.parquet (F columns, index: when the row could be known, UTC) and service.parquet row by row.

    The second file holds what the model view needs besides: service columns and the belief.
    """

    def __init__(self, folder: Path, plans: Plans) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._plans, self._order = plans, [plans.names.index(spec.name) for spec in plans.specs]
        self._hidden = (*plans.market.service, *(f"belief.{name}" for name in REGIMES))
        self._pa = pa
        index = pa.field("available_at", pa.timestamp("ns", tz="UTC"))
        names = [spec.name for spec in plans.specs]
        about = {b"pandas": _pandas_index(names)}
        self._main = pa.schema([*(pa.field(n, pa.float64()) for n in names), index], metadata=about)
        self._side = pa.schema([pa.field(n, pa.float64()) for n in self._hidden])
        self._files = [
            pq.ParquetWriter(folder / "features.parquet", self._main, compression="zstd"),
            pq.ParquetWriter(folder / "service.parquet", self._side, compression="zstd"),
        ]

    def add(self, available_at: Array, block: Block) -> Array:
        """Write rows; returns their table (n, F) in the order of the view."""
        pa, table = self._pa, block.table(self._plans)
        stamps = pa.array(available_at, pa.timestamp("ns", tz="UTC"))
        columns = [pa.array(table[:, at]) for at in self._order]
        self._files[0].write_table(pa.Table.from_arrays([*columns, stamps], schema=self._main))
        hidden = np.column_stack([block.features[:, len(self._plans.market.names) :], block.belief])
        self._files[1].write_table(pa.Table.from_arrays([pa.array(c) for c in hidden.T], schema=self._side))
        return table

    def close(self) -> None:
        """Finish both files."""
        for file in self._files:
            file.close()


def _pandas_index(names: list[str]) -> bytes:
    """Parquet metadata that makes pandas read the last column as the index."""
    import json

    def column(name: str, kind: str, numpy_type: str, extra: Any) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": numpy_type,
            "metadata": extra,
        }

    columns = [column(name, "float64", "float64", None) for name in names]
    columns.append(column("available_at", "datetimetz", "datetime64[ns, UTC]", {"timezone": "UTC"}))
    about = {"index_columns": ["available_at"], "column_indexes": [], "columns": columns, "pandas_version": "3.0"}
    return json.dumps(about).encode()


def write(settings: RunSettings, bars: ingest.Stored, target: Path, watch: Watch) -> list[dict[str, Any]]:
    """Walk stored bars chunk by chunk and write the feature table; returns the catalogue."""
    plans = plans_of(settings, bars.bar_minutes, bars.session_minutes)
    counts = Counts(len(plans.names))
    waiting: list[Array] = []

    def chunks() -> Iterator[tuple[Array, Array]]:
        for piece in bars.chunks():
            waiting.append(piece.available_at)
            yield piece.ts, piece.values

    with store.replacing(target) as fresh, watch.step("features", bars.rows) as step:
        files = Files(fresh, plans)
        try:
            checkpoints = target.with_name(f".{target.name}.checkpoints")
            for piece in walk(settings, plans, bars.bar_minutes, chunks(), watch, checkpoints):
                if piece.learned is not None:
                    snapshots.save(*piece.learned, fresh / "snapshots" / f"fit_{piece.learned[0].index}")
                stamps = np.concatenate(waiting)
                counts.add(files.add(stamps[: len(piece.ts)], piece.block))
                waiting[:] = [stamps[len(piece.ts) :]]
                step(counts.rows, bars.rows)
        finally:
            files.close()
        rows = catalogue_rows(plans, bars.sources, counts)
        about = {"plan": plans.fingerprint, "data": bars.digest, "asked": asked(settings), "rows": counts.rows}
        store.write_json(fresh / "catalogue.json", {**about, "features": rows})
        _write_csv(rows, fresh / "catalogue.csv")
    shutil.rmtree(checkpoints, ignore_errors=True)
    return rows


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """The catalogue for a spreadsheet."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def asked(settings: RunSettings) -> str:
    """SHA-256 of what decides the features besides the bars."""
    rooms = [settings.features, settings.snapshots, settings.regime, settings.encoder, settings.memory]
    rooms += [settings.awareness, settings.risk, settings.broker] if settings.awareness.replay else []
    return digest.of_json([[asdict(room) for room in rooms], settings.seed])


class Stored:
    """The feature table on disk.

    Parameters
    ----------
    settings : of the run
    bars : what it was computed from

    Raises
    ------
    ArtefactMissing, ArtefactMismatch
    """

    def __init__(self, settings: RunSettings, bars: ingest.Stored) -> None:
        market = settings.market.name
        remedy = f"python -m mia +market={market} task=features"
        self._folder = store.folder(settings.outputs, "features", market)
        about = store.read_json(self._folder / "catalogue.json", remedy)
        self.bars = bars
        self.plans = plans_of(settings, bars.bar_minutes, bars.session_minutes)
        wanted = {"plan": self.plans.fingerprint, "data": bars.digest, "asked": asked(settings), "rows": bars.rows}
        for what, value in wanted.items():
            if about.get(what) != value:
                raise ArtefactMismatch(f"{self._folder} was made with other {_WHAT[what]}; run {remedy}")
        fits = sorted((self._folder / "snapshots").glob("fit_*"), key=lambda path: int(path.name[4:]))
        loaded = [snapshots.load(settings, self.plans, path, remedy) for path in fits]
        self.snapshots = [snapshot for snapshot, _ in loaded]
        self.states = [state for _, state in loaded]

    def clock(self) -> tuple[Array, Array, Array]:
        """Close times, bar slots and sessions of all rows, (T,) int64 each."""
        parts = [
            (piece.ts, piece.column("cal.slot").astype(np.int64), piece.column("cal.session").astype(np.int64))
            for piece in self.bars.chunks()
        ]
        ts, slots, session = (np.concatenate(part) for part in zip(*parts, strict=True))
        return ts, slots, session

    def blocks(self) -> Iterator[Block]:
        """The rows in order, a piece at a time."""
        import pyarrow.parquet as pq

        order = [*self.plans.names]
        hidden = [*self.plans.market.service, *(f"belief.{name}" for name in REGIMES)]
        files = [pq.ParquetFile(self._folder / name) for name in ("features.parquet", "service.parquet")]
        batches = [
            file.iter_batches(batch_size=ingest.CHUNK_ROWS, columns=names)
            for file, names in zip(files, (order, hidden), strict=True)
        ]
        for main, side in zip(*batches, strict=True):
            table, rest = (
                np.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in names])
                for batch, names in ((main, order), (side, hidden))
            )
            yield self._block(table, rest)

    def _block(self, table: Array, rest: Array) -> Block:
        market, service = len(self.plans.market.names), len(self.plans.market.service)
        model = len(plan.names) if (plan := self.plans.part("model")) else 0
        return Block(
            features=np.concatenate([table[:, :market], rest[:, :service]], axis=1),
            model=np.ascontiguousarray(table[:, market : market + model]),
            own=np.ascontiguousarray(table[:, market + model :]),
            belief=np.ascontiguousarray(rest[:, service:]),
        )

    def rows(self, sample: Array) -> Block:
        """The numbered rows (ascending)."""
        out, at, done = Block.empty(len(sample), self.plans), 0, 0
        for block in self.blocks():
            inside = sample[(sample >= done) & (sample < done + len(block))] - done
            if len(inside):
                out.put(at, block.take(inside))
                at += len(inside)
            done += len(block)
        return out

    def write_regimes(self, path: Path, names: tuple[str, ...]) -> None:
        """Write the belief and the likeliest regime of every bar."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = [pa.field(name, pa.float64()) for name in names]
        schema = pa.schema([pa.field("ts", pa.timestamp("ns", tz="UTC")), *kinds, pa.field("regime", pa.string())])
        with pq.ParquetWriter(path, schema, compression="zstd") as file:
            for bars, block in zip(self.bars.chunks(), self.blocks(), strict=True):
                likeliest = [names[k] for k in block.belief.argmax(axis=1)]
                stamps = pa.array(bars.ts, pa.timestamp("ns", tz="UTC"))
                columns = [stamps, *(pa.array(c) for c in block.belief.T), pa.array(likeliest)]
                file.write_table(pa.Table.from_arrays(columns, schema=schema))

    def table(self) -> FeatureTable:
        """All rows in memory."""
        block, at = Block.empty(self.bars.rows, self.plans), 0
        for piece in self.blocks():
            block.put(at, piece)
            at += len(piece)
        return FeatureTable(plans=self.plans, block=block, snapshots=self.snapshots, states=self.states)


_WHAT = {"plan": "features", "data": "bars", "asked": "settings", "rows": "bars"}


def load(settings: RunSettings) -> FeatureTable:
    """Read the whole table into memory."""
    return Stored(settings, ingest.stored(settings)).table()


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Run the stage on its own."""
    target = store.folder(settings.outputs, "features", settings.market.name)
    with warm.beside() as compiled:
        bars = ingest.ensured(settings, watch)
        compiled()
        rows = write(settings, bars, target, watch)
    watch.rows("features by family", family_rows(rows))
    watch.say(f"wrote {target}; every column with unit, range, warm-up and availability is in catalogue.csv")

"""The trial ledger: every run is counted before it trains, so that luck can be priced afterwards.

One SQLite file, shared by all processes; deleting or failing runs never lowers the count.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mia.domain.errors import ArtefactMismatch

_WAIT_S = 30.0
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS trials (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        market TEXT NOT NULL, algo TEXT NOT NULL, seed INTEGER NOT NULL,
        config_digest TEXT NOT NULL, data_digest TEXT NOT NULL, started_at TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'started', reason TEXT NOT NULL DEFAULT '',
        sharpe REAL, daily_net_usd TEXT)""",
    "CREATE TABLE IF NOT EXISTS counts (market TEXT PRIMARY KEY, trials INTEGER NOT NULL) WITHOUT ROWID",
    # The count lives apart from the rows, and the file itself refuses to lower it.
    """CREATE TRIGGER IF NOT EXISTS count_trial AFTER INSERT ON trials BEGIN
        INSERT INTO counts VALUES (NEW.market, 1)
        ON CONFLICT (market) DO UPDATE SET trials = trials + 1; END""",
    """CREATE TRIGGER IF NOT EXISTS count_never_falls BEFORE UPDATE ON counts
        WHEN NEW.trials < OLD.trials OR NEW.market <> OLD.market
        BEGIN SELECT RAISE(ABORT, 'the number of trials never falls'); END""",
    """CREATE TRIGGER IF NOT EXISTS count_never_goes BEFORE DELETE ON counts
        BEGIN SELECT RAISE(ABORT, 'the number of trials never falls'); END""",
)


class TrialLedger:
    """Ledger in one file; opens a connection per call, so it may be used from any process or thread.

    Parameters
    ----------
    path : the SQLite file, e.g. outputs/trials.sqlite; made with its folder if absent

    Raises
    ------
    ArtefactMismatch : from any method, in one line, if the file is damaged or not a ledger.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as ledger:
            # In this mode readers and the writer do not block each other.
            self._switch_to_wal(ledger)
            ledger.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                ledger.execute(statement)
            ledger.execute("COMMIT")

    def begin(self, *, market: str, algo: str, seed: int, config_digest: str, data_digest: str, started_at: str) -> int:
        """Count a run that is about to train and return its number.

        Parameters
        ----------
        market, algo, seed : what runs
        config_digest, data_digest : fingerprints of the configuration and the data
        started_at : start time, ISO 8601
        """
        with self._writing() as ledger:
            cursor = ledger.execute(
                "INSERT INTO trials (market, algo, seed, config_digest, data_digest, started_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (market, algo, seed, config_digest, data_digest, started_at),
            )
            return int(cursor.lastrowid or 0)

    def complete(self, trial: int, *, daily_net_usd: Sequence[float], sharpe: float) -> None:
        """Add what run number `trial` earned: net profit of each session [USD], annualised Sharpe ratio."""
        days = json.dumps([float(value) for value in daily_net_usd], allow_nan=False)
        self._finish(trial, "completed", "", float(sharpe), days)

    def end(self, trial: int, reason: str) -> None:
        """Note that run number `trial` ended well and left no days that others may be compared with, and why."""
        self._finish(trial, "completed", " ".join(reason.split())[:500], None, None)

    def fail(self, trial: int, reason: str) -> None:
        """Note that run number `trial` failed, and why in one line; it stays counted."""
        self._finish(trial, "failed", " ".join(reason.split())[:500], None, None)

    def trials(self, market: str | None = None) -> int:
        """Number of runs ever begun for a market (all markets if None), whatever became of them."""
        with self._open() as ledger:
            if market is None:
                row = ledger.execute("SELECT COALESCE(SUM(trials), 0) FROM counts").fetchone()
            else:
                row = ledger.execute(
                    "SELECT COALESCE(SUM(trials), 0) FROM counts WHERE market = ?", (market,)
                ).fetchone()
            return int(row[0])

    def sharpe_variance(self, market: str) -> float | None:
        """Variance of the daily Sharpe ratios of completed runs of a market; None if fewer than two."""
        with self._open() as ledger:
            rows = ledger.execute(
                "SELECT sharpe FROM trials WHERE market = ? AND sharpe IS NOT NULL", (market,)
            ).fetchall()
        if len(rows) < 2:
            return None
        values = [row[0] for row in rows]
        centre = sum(values) / len(values)
        return sum((value - centre) ** 2 for value in values) / (len(values) - 1) / 252

    def rows(self, market: str | None = None) -> list[dict[str, Any]]:
        """All runs still on record, oldest first; `daily_net_usd` as a list or None."""
        with self._open() as ledger:
            ledger.row_factory = sqlite3.Row
            found = ledger.execute(
                "SELECT * FROM trials WHERE ? IS NULL OR market = ? ORDER BY id", (market, market)
            ).fetchall()
        rows = [dict(row) for row in found]
        for row in rows:
            row["daily_net_usd"] = json.loads(row["daily_net_usd"]) if row["daily_net_usd"] else None
        return rows

    def _finish(self, trial: int, status: str, reason: str, sharpe: float | None, days: str | None) -> None:
        with self._writing() as ledger:
            changed = ledger.execute(
                "UPDATE trials SET status = ?, reason = ?, sharpe = ?, daily_net_usd = ? WHERE id = ?",
                (status, reason, sharpe, days, trial),
            ).rowcount
        if changed != 1:
            raise ArtefactMismatch(f"trial ledger {self.path}: run {trial} is not on record; begin it first")

    @staticmethod
    def _switch_to_wal(ledger: sqlite3.Connection) -> None:
        for attempt in range(300):
            try:
                if ledger.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                    return
                ledger.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                # SQLite does not wait for its busy timeout here.
                if "locked" not in str(error) or attempt == 299:
                    raise
                time.sleep(0.05)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            ledger = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise ArtefactMismatch(
                f"trial ledger {self.path} cannot be opened ({error}); check path and rights"
            ) from error
        try:
            yield ledger
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            remedy = (
                "try again when other runs have ended"
                if "locked" in str(error)
                else "restore a backup, or move it away: earlier trials are then no longer counted"
            )
            raise ArtefactMismatch(f"trial ledger {self.path} is unusable ({error}); {remedy}") from error
        finally:
            ledger.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as ledger:
            ledger.execute("BEGIN IMMEDIATE")
            yield ledger  # what raises here leaves no commit behind, and closing without one rolls back
            ledger.execute("COMMIT")

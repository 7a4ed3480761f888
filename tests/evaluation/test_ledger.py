"""The trial ledger never forgets."""

import multiprocessing
import sqlite3

import pytest

from mia.domain.errors import ArtefactMismatch
from mia.evaluation.ledger import TrialLedger

RUN = {
    "algo": "ppo",
    "seed": 1,
    "config_digest": "c",
    "data_digest": "d",
    "started_at": "2026-01-05T09:30:00Z",
}


@pytest.fixture
def ledger(tmp_path):
    return TrialLedger(tmp_path / "outputs" / "trials.sqlite")


def test_run_is_counted_before_it_ends_and_completed_afterwards(ledger):
    assert ledger.trials("ES") == 0
    number = ledger.begin(market="ES", **RUN)
    assert ledger.trials("ES") == 1
    assert ledger.rows("ES")[0]["status"] == "started"
    ledger.complete(number, daily_net_usd=[1.5, -2.0], sharpe=0.7)
    row = ledger.rows("ES")[0]
    assert (row["status"], row["sharpe"], row["daily_net_usd"]) == ("completed", 0.7, [1.5, -2.0])


def test_failed_and_deleted_runs_still_count_per_market(ledger):
    ledger.fail(ledger.begin(market="ES", **RUN), "out of\nmemory")
    ledger.begin(market="ES", **RUN)
    ledger.begin(market="MNQ", **RUN)
    assert ledger.rows("ES")[0]["reason"] == "out of memory"
    with sqlite3.connect(ledger.path) as raw:
        raw.execute("DELETE FROM trials")
    assert ledger.rows() == []
    assert (ledger.trials("ES"), ledger.trials("MNQ"), ledger.trials()) == (2, 1, 3)
    assert ledger.begin(market="ES", **RUN) == 4  # numbers are not reused either
    assert ledger.trials("ES") == 3


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM counts", "UPDATE counts SET trials = 1", "UPDATE counts SET market = 'XX'"],
)
def test_file_itself_refuses_to_lower_the_count(ledger, statement):
    for _ in range(3):
        ledger.begin(market="ES", **RUN)
    raw = sqlite3.connect(ledger.path)
    with pytest.raises(sqlite3.IntegrityError, match="never falls"):
        raw.execute(statement)
    raw.close()
    assert ledger.trials("ES") == 3


def test_variance_is_that_of_daily_ratios_and_unknown_with_one_run(ledger):
    ledger.complete(ledger.begin(market="ES", **RUN), daily_net_usd=[], sharpe=1.0)
    assert ledger.sharpe_variance("ES") is None
    ledger.complete(ledger.begin(market="ES", **RUN), daily_net_usd=[], sharpe=3.0)
    ledger.fail(ledger.begin(market="ES", **RUN), "no")
    assert ledger.sharpe_variance("ES") == pytest.approx(2.0 / 252)


def _twenty_runs(path):
    own = TrialLedger(path)
    for _ in range(20):
        own.complete(own.begin(market="ES", **RUN), daily_net_usd=[1.0], sharpe=0.0)


def test_parallel_processes_lose_no_count(tmp_path):
    path = tmp_path / "trials.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_twenty_runs, args=(path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    ledger = TrialLedger(path)
    assert ledger.trials("ES") == 80
    assert len(ledger.rows()) == 80
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_interrupted_run_leaves_no_half_written_row(ledger):
    def interrupted():
        with ledger._writing() as raw:
            raw.execute(
                "INSERT INTO trials (market, algo, seed, config_digest, data_digest, started_at) "
                "VALUES ('ES', '', 0, '', '', '')"
            )
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ledger.trials() == 0


@pytest.mark.parametrize("damage", [b"not a database at all, only text", b"SQLite format 3\x00" + b"\xff" * 5000])
def test_damaged_file_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "trials.sqlite"
    path.write_bytes(damage)
    with pytest.raises(ArtefactMismatch, match=r"unusable.*backup") as caught:
        TrialLedger(path)
    assert "\n" not in str(caught.value)


def test_other_database_and_unknown_run_are_refused(tmp_path, ledger):
    path = tmp_path / "other.sqlite"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE trials (x)")
    raw.close()
    with pytest.raises(ArtefactMismatch, match="unusable"):
        TrialLedger(path).begin(market="ES", **RUN)
    with pytest.raises(ArtefactMismatch, match="run 99 is not on record"):
        ledger.fail(99, "no")

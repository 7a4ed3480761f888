"""Every training is written to the trial ledger before it starts, so that best-of-N can be told from skill."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mia.domain import digest
from mia.evaluation.ledger import TrialLedger
from mia.task.settings import RunSettings

NOT_THE_EXPERIMENT = ("outputs", "quiet", "resume", "tracking", "audit", "compare", "race", "task", "mode")
"""Top-level keys that change where results go or how they are shown, not what they are."""


def config_digest(plain: Mapping[str, Any]) -> str:
    """SHA-256 of the choices that shape the result."""
    return digest.of_json({key: value for key, value in plain.items() if key not in NOT_THE_EXPERIMENT})


def ledger(settings: RunSettings) -> TrialLedger:
    """The project's ledger: outputs/trials.sqlite."""
    return TrialLedger(Path(settings.outputs, "trials.sqlite"))


@contextmanager
def counted(
    settings: RunSettings, plain: Mapping[str, Any], data_digest: str, keeper: Any | None = None
) -> Iterator[int]:
    """Count a training for the time of the block; a failure is noted and stays counted.

    Parameters
    ----------
    settings, plain, data_digest : what runs
    keeper : of `keeping.kept`; a training that goes on after an interruption is the trial it was
    """
    book = ledger(settings)
    number = keeper.trial if keeper else None
    if number is None:
        number = book.begin(
            market=settings.market.name if settings.market else "WORLD",
            algo=settings.algo.name,
            seed=settings.seed,
            config_digest=config_digest(plain),
            data_digest=data_digest,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251 - tasks may ask
        )
    if keeper:
        keeper.trial = number
    try:
        yield number
    except BaseException as error:
        book.fail(number, f"{type(error).__name__}: {error}")
        raise

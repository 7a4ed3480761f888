"""The performance file of one algorithm on one market: its columns, and adding and reading lines safely.

outputs/logs/<market>/train_<algo>_performance.csv, one line per look of a training, growing across runs. Sweeps of
many processes may write it at once, and a crash leaves whole lines only. Written by `performance_logger`.
"""

import csv
import fcntl
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mia.algo.progress import LEVELS
from mia.domain.errors import ArtefactMismatch, ArtefactMissing

TEXT, WHOLE, NUMBER, QUANTILES, WEIGHTS, MORE = "text", "whole", "number", "quantiles", "weights", "more"

FACTS = {"run": TEXT, "trial": WHOLE, "seed": WHOLE, "fold": WHOLE, "algo": TEXT, "market": TEXT}
MEASURED = {
    "reward": NUMBER,
    "latency_us": NUMBER,
    "memory_mb": NUMBER,
    "finetune_loss": NUMBER,
    "cvar_loss": NUMBER,
    "qr_dqn_quantiles": QUANTILES,
    "ensemble_weights": WEIGHTS,
    "online_learning_steps": WHOLE,
    "maml_steps": WHOLE,
    "multiplier": NUMBER,
    "cvar_low": NUMBER,
    "cvar_high": NUMBER,
    "cvar_limit": NUMBER,
    "violation_rate": NUMBER,
    "trades_per_1000_bars": NUMBER,
    "cpu_s": NUMBER,
}
KINDS = {"when": TEXT, **FACTS, "step": WHOLE, **MEASURED, "more": MORE}
"""Column -> kind of its values."""

COLUMNS = tuple(KINDS)
"""The file's columns, in this order; a cell is blank where the learner has no such thing.

when                    time of the look, UTC, ISO 8601
run                     run directory, below outputs/runs
trial, seed, fold       number in the trial ledger, seed, index of the walk-forward fold from 0
algo, market            what learned on what
step                    training steps taken
reward                  net profit per bar on validation rows, never shaped [USD]
latency_us              time of one decision of the present policy, median [µs]
memory_mb               largest memory the process held so far [MB]
finetune_loss           loss of fine-tuning to a regime (method 8)
cvar_loss               CVaR of the loss, in the unit of the learner's limit
qr_dqn_quantiles        quantiles of what the chosen action is worth at `LEVELS`, joined by ; [USD]
ensemble_weights        name=weight of each expert, joined by ;
online_learning_steps   updates of online learning so far (method 10)
maml_steps              updates of meta-learning so far (method 18)
multiplier              multiplier of the risk constraint
cvar_low, cvar_high     95 % interval of `cvar_loss`
cvar_limit              the most `cvar_loss` may be
violation_rate          share of episodes whose loss is above the limit, 0-1
trades_per_1000_bars    contracts traded on validation rows, per 1000 bars
cpu_s                   CPU time since the training began, or went on after an interruption [s]
more                    whatever else the learner told, as JSON
"""

_HEADER = ",".join(COLUMNS) + "\n"
_BLOCK = 4096
_DIGITS = 10  # significant digits of a number in the file


def log_path(outputs: str | Path, market: str, algo: str) -> Path:
    """Return the file of one algorithm on one market."""
    return Path(outputs, "logs", market, f"train_{algo}_performance.csv")


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add one line for good, whichever processes do the same.

    A torn last line, left by a crash, is cut off first. A file with other columns than `COLUMNS` is moved aside
    (``….1.csv``) and a new one begun.

    Parameters
    ----------
    path : the file, made with its folder if absent
    row : column -> value; absent or None is blank

    Raises
    ------
    ValueError : if a column is unknown or a value not of its kind.
    OSError : if the line cannot be written; the file is then as it was.
    """
    line = _line(row).encode()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = _HEADER.encode()
    with _locked(path) as file:
        size = _repaired(file)
        if size and os.pread(file, len(header), 0) != header:
            path.rename(_aside(path))
            size = None
        else:
            _add(file, size, line if size else header + line)
    if size is None:
        append(path, row)


def read(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a file, oldest first: column -> str, int, float, tuple, dict, or None where blank.

    Raises
    ------
    ArtefactMissing : if there is no such file.
    ArtefactMismatch : naming the line, if it is not what `PerformanceLogger` writes. A last line without its end
        is still being written, or torn, and is left out.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtefactMissing(f"{path} does not exist; train first, e.g. python -m mia +market=MNQ")
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1].decode(errors="replace")
    lines = list(csv.reader(io.StringIO(whole, newline="")))
    if lines and tuple(lines[0]) != COLUMNS:
        raise ArtefactMismatch(f"{path}: its columns are not those of this version; move it away")
    return [_parsed(path, number, cells) for number, cells in enumerate(lines[1:], start=2)]


def _line(row: Mapping[str, Any]) -> str:
    unknown = sorted(set(row) - set(COLUMNS))
    if unknown:
        raise ValueError(f"performance log: no column is called {unknown[0]!r}; known: {', '.join(COLUMNS)}")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_cell(KINDS[c], row.get(c)) for c in COLUMNS])
    return text.getvalue()


def _cell(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == TEXT:
        if not value.isprintable():
            raise ValueError(f"performance log: a text must stay on its line, was {value!r}")
        return value
    if kind == WHOLE:
        return str(int(value))
    if kind == QUANTILES:
        return ";".join(_written(part) for part in value)
    if kind == WEIGHTS:
        return ";".join(f"{name}={_written(part)}" for name, part in value.items())
    if kind == MORE:
        strict = {
            key: str(part) if isinstance(part, float) and not math.isfinite(part) else part
            for key, part in value.items()
        }
        return json.dumps(strict, sort_keys=True, allow_nan=False)
    return _written(value)


def _written(value: float) -> str:
    return f"{value:.{_DIGITS}g}"


def _parsed(path: Path, number: int, cells: Sequence[str]) -> dict[str, Any]:
    try:
        return {c: _value(KINDS[c], cell) if cell else None for c, cell in zip(COLUMNS, cells, strict=True)}
    except ValueError as error:
        raise ArtefactMismatch(f"{path}: line {number} is damaged ({error}); delete the line") from error


def _value(kind: str, cell: str) -> Any:
    if kind == WHOLE:
        return int(cell)
    if kind == NUMBER:
        return float(cell)
    if kind == QUANTILES:
        values = [float(part) for part in cell.split(";")]
        return tuple(value for _, value in zip(LEVELS, values, strict=True))
    if kind == WEIGHTS:
        pairs = (part.split("=") for part in cell.split(";"))
        return {name: float(weight) for name, weight in pairs}
    return json.loads(cell) if kind == MORE else cell


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open the file that `path` names, for this process alone."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _names(path, file):
                yield file
                return
        finally:
            os.close(file)  # gives the lock back


def _names(path: Path, file: int) -> bool:
    """Tell whether `path` still names the open file: another process may have moved it while this one waited."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(file))
    return False


def _repaired(file: int) -> int:
    """Cut off what follows the last line's end; returns the size left [bytes]."""
    size = end = os.fstat(file).st_size
    while end:
        start = max(0, end - _BLOCK)
        at = os.pread(file, end - start, start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
    return end


def _add(file: int, size: int, text: bytes) -> None:
    """Write `text` at the end and wait until the disk has it; all of it or nothing."""
    try:
        done = 0
        while done < len(text):
            done += os.pwrite(file, text[done:], size + done)
        os.fsync(file)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise


def _aside(path: Path) -> Path:
    """Return the first free name beside `path`."""
    number = 1
    while (free := path.with_suffix(f".{number}{path.suffix}")).exists():
        number += 1
    return free

"""Where derived things lie: outputs/<stage>/<market>/…, written whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mia.domain.errors import ArtefactMissing


def folder(outputs: str, stage: str, market: str, *parts: str) -> Path:
    """Folder of a stage's artefacts for one market."""
    return Path(outputs, stage, market, *parts)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a fresh folder to write into; it takes the target's place only if the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole: a reader sees the old content or the new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.partial")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs: indented, keys in the order given, no NaN."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_text(path: Path, remedy: str) -> str:
    """Read an artefact of an earlier stage.

    Raises
    ------
    ArtefactMissing : with the command that makes it.
    """
    if not path.is_file():
        raise ArtefactMissing(f"{path} does not exist; run {remedy}")
    return path.read_text(encoding="utf-8")


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON artefact of an earlier stage."""
    return json.loads(read_text(path, remedy))

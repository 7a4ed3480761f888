"""Runs one task of a checked configuration in its directory."""

from importlib import import_module
from pathlib import Path
from typing import Any

from mia.task.settings import RunSettings
from mia.task.watch import Watch


def run(settings: RunSettings, plain: dict[str, Any], directory: Path) -> int:
    """Import the task's module and call its `main`; returns the exit code, 0 unless the task says otherwise."""
    verb = import_module(f"mia.task.{settings.task.name}")
    return verb.main(settings, plain, directory, Watch(settings.quiet)) or 0

"""What a task says while it runs: to the person at the terminal and to the tracker."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mia.tracking.console import Step, Terminal
from mia.tracking.tracker import OffTracker, Tracker


class Watch:
    """Progress bars, tables and sentences, the seconds each step took, and the run's tracker."""

    def __init__(self, quiet: bool) -> None:
        self.terminal = Terminal(quiet=quiet)
        self.tracker: Tracker = OffTracker()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, description: str, total: int = 1) -> Iterator[Step]:
        """A long step with a live bar; yields what rooms call as ``progress(done, total)``."""
        started = time.monotonic()
        with self.terminal.progress(total, description) as step:
            yield step
            step(step.total, step.total)
        self.seconds[description] = self.seconds.get(description, 0.0) + time.monotonic() - started

    def say(self, sentence: str) -> None:
        """Print one line."""
        self.terminal.say(sentence)

    def facts(self, title: str, facts: Mapping[str, Any]) -> None:
        """Print facts as two columns."""
        self.rows(title, [{"what": key, "value": value} for key, value in facts.items()])

    def rows(self, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print rows as a table."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, title=title, title_justify="left")
        table.title_style = "bold"
        for key in rows[0] if rows else ():
            numeric = all(isinstance(row[key], int | float) for row in rows)
            table.add_column(str(key), justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        self.terminal.console.print(table)

"""What a person sees in the terminal while a run works, and the table and verdict at its end.

The tasks make one `Terminal`; rooms below only see the plain `mia.domain.progress.Progress` it hands out.
"""

import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from mia.evaluation import formats

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

WIDTH, NAME_WIDTH = 80, 20
COLUMNS = ("net_usd", "cost_usd", "sharpe", "sharpe_ci", "max_drawdown_intraday_usd", "trades")
DROPPED_FIRST = ("cost_usd", "trades", "sharpe_ci")
SHORT = {"sharpe_ci": "95 % interval", "max_drawdown_intraday_usd": "Drawdown", "net_usd": "Net", "cost_usd": "Costs"}


class Step:
    """One long step: count what is done; rooms may call it as ``progress(done, total)``."""

    def __init__(self, bars: "Bars | None", description: str, total: int) -> None:
        self._bars = bars
        self._task = bars.add_task(description, total=total or None, note="") if bars is not None else None
        self.total = total
        self.done = 0
        self.fields: dict[str, Any] = {}

    def advance(self, n: int = 1, **fields: Any) -> None:
        """Count `n` more; fields (e.g. ``loss=0.3``) are shown beside the bar and in the finished line."""
        self._show(self.done + n, fields)

    def __call__(self, done: int, total: int) -> None:
        """Say how far it is: this is `mia.domain.progress.Progress`."""
        self.total = total
        self._show(done, {})

    def _show(self, done: int, fields: Mapping[str, Any]) -> None:
        self.done = done
        self.fields |= fields
        if self._bars is not None:
            self._bars.update(self._task, completed=done, total=self.total or None, note=self.note())

    def note(self) -> str:
        """The fields as text."""
        return "  ".join(f"{key} {_field(value)}" for key, value in self.fields.items())

    def close(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.remove_task(self._task)


class Terminal:
    """The one place that writes for people.

    Parameters
    ----------
    quiet : no bars and no step lines; warnings, table and verdict are still printed
    stream : where to write, standard output unless given

    Bars move only where a person watches (a terminal); elsewhere each finished step is one line. ``NO_COLOR``
    and dumb terminals are respected.
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.quiet = quiet
        self._stream = stream
        self._console: Console | None = None
        self._bars: Bars | None = None
        self._depth = 0

    @property
    def console(self) -> "Console":
        """The rich console; made at first use, since a command that prints nothing need not pay for it."""
        if self._console is None:
            from rich.console import Console

            stream = self._stream or sys.stdout
            # Only what the stream itself says counts: a variable that forces colours makes no log a terminal.
            self._console = Console(
                file=stream, force_terminal=stream.isatty(), highlight=False, emoji=False, markup=False
            )
        return self._console

    @property
    def live(self) -> bool:
        """Whether bars may move."""
        return not self.quiet and self.console.is_terminal and not self.console.is_dumb_terminal

    def say(self, text: str) -> None:
        """Print one line, even when quiet: for warnings and results."""
        self.console.print(text, soft_wrap=True)

    @contextmanager
    def progress(self, total: int, description: str) -> Iterator[Step]:
        """Show one long step while it lasts; steps may be nested.

        Parameters
        ----------
        total : what the step counts to, 0 when unknown
        description : a few words, e.g. "features"
        """
        self._enter()
        step = Step(self._bars, description, total)
        began = time.perf_counter()
        outcome = "failed after"
        try:
            yield step
            outcome = ""
        except GeneratorExit:  # whoever read the rows has enough of them: nothing failed
            outcome = "left off after"
            raise
        finally:
            seconds = time.perf_counter() - began
            step.close()
            self._leave()
            if not self.quiet:
                self._finished(description, seconds, outcome, step)

    def table(self, rows: Mapping[str, Mapping[str, Any]], policy: str, title: str) -> None:
        """Print the accounts side by side, the policy first, at most 80 columns wide.

        Parameters
        ----------
        rows : name -> metrics as in `mia.evaluation.report.ReportContent`
        policy : the judged account
        title : one line above, e.g. "MNQ, pessimistic fills, 2024-01-02 to 2024-06-28"
        """
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title, title_justify="left")
        table.title_style = "bold"
        table.add_column("Account", no_wrap=True, max_width=NAME_WIDTH, overflow="ellipsis")
        columns = _fitting(rows)
        for heading, _ in columns:
            table.add_column(heading, justify="right", no_wrap=True)
        for name in sorted(rows, key=lambda name: name != policy):
            style = "bold" if name == policy else None
            table.add_row(name, *(cells[name] for _, cells in columns), style=style)
        self.console.print()
        self.console.print(table, width=min(self.console.width, WIDTH))

    def verdict(self, text: str, warnings: tuple[str, ...] = ()) -> None:
        """Print the sentence the run ends with, warnings before it, in plain words and 80 columns."""
        self.console.print()
        for warning in warnings:
            self.console.print(textwrap.fill(f"! {warning}", width=WIDTH, subsequent_indent="  "), style="yellow")
        self.console.print(textwrap.fill(text, width=WIDTH), style="bold")

    def _enter(self) -> None:
        if self._depth == 0 and self.live:
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description:<22.22}", markup=False),
                BarColumn(bar_width=20),
                TaskProgressColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[note]}", markup=False),
                console=self.console,
                transient=True,
                refresh_per_second=5,
            )
            self._bars.start()
        self._depth += 1

    def _leave(self) -> None:
        self._depth -= 1
        if self._depth == 0 and self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _finished(self, description: str, seconds: float, outcome: str, step: Step) -> None:
        indent = "  " * self._depth
        name = textwrap.shorten(description, 30 - len(indent), placeholder="...")
        line = f"{indent}{name:<{32 - len(indent)}}{outcome + ' ' if outcome else ''}{seconds:6.1f} s"
        note = step.note()
        self.console.print(f"{line}  {note}" if note else line, soft_wrap=True)


def _fitting(rows: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, dict[str, str]]]:
    """Return headings and cells that fit beside the names; a number is dropped with its column, never cut."""
    keys = [key for key in COLUMNS if any(key in metrics for metrics in rows.values())]
    columns = {
        key: (SHORT.get(key, formats.METRICS[key][0]), {n: formats.metric(m, key) for n, m in rows.items()})
        for key in keys
    }
    room = WIDTH - max((min(len(name), NAME_WIDTH) for name in rows), default=0)
    for dropped in DROPPED_FIRST:
        if sum(2 + max(len(head), *map(len, cells.values())) for head, cells in columns.values()) <= room:
            break
        columns.pop(dropped, None)
    return list(columns.values())


def _field(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

"""The terminal: one line per step where nobody watches, bars where somebody does, never a cut number."""

import io
import os
import re
import sys

import pytest

from mia.tracking.console import Terminal

METRICS = {
    "net_usd": -577.4,
    "cost_usd": 812.0,
    "sharpe": -0.18,
    "sharpe_ci": (-1.49, 1.0),
    "max_drawdown_intraday_usd": -1834.25,
    "trades": 1211,
}


class Watched(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def steps(stream, **settings):
    terminal = Terminal(stream=stream, **settings)
    with terminal.progress(3, "training") as outer:
        with terminal.progress(0, "fold 1") as inner:
            inner(5, 10)
            inner(10, 10)
        for k in range(3):
            outer.advance(loss=1 / (k + 1), frames=1000 * k)
    return stream.getvalue(), outer, inner


def test_a_log_gets_one_line_per_finished_step_with_its_seconds():
    text, outer, inner = steps(io.StringIO())
    assert re.fullmatch(r"  fold 1 +\d+\.\d s\ntraining +\d+\.\d s  loss 0\.3333  frames 2,000\n", text)
    assert (outer.done, outer.total) == (3, 3)
    assert (inner.done, inner.total) == (10, 10)


def test_forcing_colours_does_not_make_a_log_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in steps(io.StringIO())[0]


def test_a_terminal_gets_bars_and_the_same_lines_afterwards():
    text = steps(Watched())[0]
    assert "\x1b[" in text
    assert "━" in text
    assert re.search(r"training +\d+\.\d s  loss 0\.3333  frames 2,000", text)


def test_no_color_is_respected_on_a_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = steps(Watched())[0]
    assert re.findall(r"\x1b\[[0-9;]*3[0-7]m|\x1b\[9[0-7]m|\x1b\[38", text) == []
    assert "━" in text


def test_a_dumb_terminal_gets_lines_only(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "━" not in steps(Watched())[0]


def test_quiet_prints_the_result_and_nothing_else():
    stream = io.StringIO()
    assert steps(stream, quiet=True)[0] == ""
    terminal = Terminal(quiet=True, stream=stream)
    terminal.table({"policy": METRICS}, "policy", "ES")
    terminal.verdict("Luck.")
    assert "-$577" in stream.getvalue()
    assert "Luck." in stream.getvalue()


def test_a_failed_step_says_so_and_the_error_passes():
    stream = io.StringIO()
    terminal = Terminal(stream=stream)
    with pytest.raises(ValueError, match="broken"), terminal.progress(10, "training"):
        raise ValueError("broken")
    assert re.fullmatch(r"training +failed after +\d+\.\d s\n", stream.getvalue())
    watched = Terminal(stream=Watched())
    with pytest.raises(ValueError, match="broken"), watched.progress(10, "training"):
        raise ValueError("broken")
    assert watched._bars is None  # the display is released


def test_markup_in_names_is_printed_as_it_is():
    for stream in (io.StringIO(), Watched()):
        terminal = Terminal(stream=stream)
        with terminal.progress(1, "[bold]x[/]") as step:
            step.advance(note="[red]")
        terminal.say("[/nothing]")
        assert "[bold]x[/]" in stream.getvalue()
        assert "[/nothing]" in stream.getvalue()


def table(rows, policy="policy", **settings):
    stream = io.StringIO()
    Terminal(stream=stream, **settings).table(rows, policy, "MNQ, pessimistic fills")
    return stream.getvalue()


def test_table_starts_with_the_policy_and_aligns_numbers():
    text = table({"flat": METRICS | {"net_usd": 0.0, "trades": 0}, "policy": METRICS})
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    assert lines[0] == "MNQ, pessimistic fills"
    assert lines[1].split()[:2] == ["Account", "Net"]
    assert lines[2].split() == ["policy", "-$577", "$812", "-0.18", "-1.49", "to", "1.00", "-$1,834", "1,211"]
    assert lines[3].split()[:2] == ["flat", "$0"]
    assert len({len(line) for line in lines[1:]}) == 1  # right-aligned last column ends at one place
    assert re.search(r" -\$577", lines[2]).end() == re.search(r" \$0", lines[3]).end()


def test_wide_numbers_are_never_cut_at_80_columns():
    big = {
        "net_usd": -123456789.0,
        "cost_usd": 98765432.0,
        "sharpe": -10.25,
        "sharpe_ci": (-11.49, -10.01),
        "max_drawdown_intraday_usd": -123456789.0,
        "trades": 12345678,
    }
    text = table(
        {"a_policy_with_a_very_long_name_indeed": big, "flat": METRICS},
        "a_policy_with_a_very_long_name_indeed",
    )
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 80
    row = next(line for line in lines if line.startswith("a_policy"))
    assert row.count("…") == 1  # the name's, none in a number
    assert "-$123,456,789" in row
    assert "-10.25" in row
    assert "Costs" not in text


def test_missing_figures_are_dashes():
    text = table({"policy": METRICS, "flat": {"net_usd": 0.0, "sharpe": float("nan"), "sharpe_ci": None}})
    assert next(line for line in text.splitlines() if line.startswith("flat")).split() == [
        "flat",
        "$0",
        "–",
        "–",
        "–",
        "–",
        "–",
    ]


def test_verdict_is_plain_text_of_80_columns_with_warnings_first():
    stream = io.StringIO()
    Terminal(stream=stream).verdict("Not distinguishable from luck. " * 8, ("Data is simulated: " + "word " * 30,))
    lines = stream.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 80
    assert lines[1].startswith("! Data is simulated")
    assert lines[-1].startswith(("Not", "luck", "from", "dist"))


def test_the_progress_protocol_does_not_import_rich():
    import subprocess

    code = "import sys, mia.domain.progress, mia.tracking.console; assert 'rich' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)

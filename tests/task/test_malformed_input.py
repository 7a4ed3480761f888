"""Unusable files: one clear line, exit code 2, nothing half-written left behind."""

import numpy as np
import pandas as pd
import pytest

from mia.task import command_line


def good(rows=400):
    start = pd.Timestamp("2025-01-07 09:30", tz="America/New_York")
    close = 6000 + 0.25 * np.round(np.cumsum(np.sin(np.arange(rows))))
    return pd.DataFrame(
        {
            "ts": pd.date_range(start, periods=rows, freq="1min").tz_convert("UTC"),
            "open": close,
            "high": close + 0.5,
            "low": close - 0.5,
            "close": close,
            "volume": 100,
        }
    )


def csv(change):
    def write(folder):
        frame = good()
        changed = change(frame)
        (frame if changed is None else changed).to_csv(folder / "bars.csv", index=False)
        return "bars.csv"

    return write


def raw(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return name

    return write


def truncated_parquet(folder):
    good().to_parquet(folder / "bars.parquet")
    content = (folder / "bars.parquet").read_bytes()
    (folder / "bars.parquet").write_bytes(content[: len(content) // 2])
    return "bars.parquet"


def empty_folder(folder):
    (folder / "nothing").mkdir()
    return "nothing"


def naive(frame):
    frame["ts"] = frame["ts"].dt.tz_localize(None)


def at(column, row, value):
    def change(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value

    return change


CASES = {
    "wrong column": (csv(lambda f: f.rename(columns={"close": "last"})), [], "close"),
    "no timestamp": (csv(lambda f: f.drop(columns="ts")), [], "timestamp"),
    "no zone declared": (csv(naive), [], "timezone"),
    "zone that does not exist": (csv(naive), ["source.timezone=Mars/Olympus"], "Mars/Olympus"),
    "zone that puts all rows outside the session": (
        csv(lambda f: f.assign(ts=f.ts + pd.Timedelta(days=4))),
        [],
        "session",
    ),
    "unsorted and not allowed": (csv(lambda f: f.iloc[::-1]), ["source.allow_unsorted=false"], "run back in time"),
    "nan price": (csv(at("close", 5, np.nan)), [], "bad rows"),
    "negative price": (csv(at("low", 5, -1.0)), [], "bad rows"),
    "zero price": (csv(at("open", 5, 0.0)), [], "bad rows"),
    "text for a price": (csv(at("open", 5, "cheap")), [], "open"),
    "high below low": (csv(at("high", 5, 1.0)), [], "bad rows"),
    "empty file": (raw("bars.csv", b""), [], "empty"),
    "header only": (csv(lambda f: f.head(0)), [], "row"),
    "binary garbage": (raw("bars.csv", bytes(range(256)) * 40), [], "bars.csv"),
    "truncated parquet": (truncated_parquet, [], "bars.parquet"),
    "garbage called parquet": (raw("bars.parquet", b"not parquet at all"), [], "bars.parquet"),
    "a directory without files": (empty_folder, [], "nothing"),
    "a missing file": (lambda folder: "gone.csv", [], "gone.csv"),
    "label not declared": (csv(lambda f: None), ["source.label=null"], "label"),
    "label that is no label": (csv(lambda f: None), ["source.label=middle"], "label"),
    "another bar length": (csv(lambda f: None), ["source.bar_minutes=7"], "bar_minutes"),
    "price scale of zero": (csv(lambda f: None), ["source.price_scale=0"], "price_scale"),
    "unparsable stamps": (csv(lambda f: f.assign(ts="yesterday")), [], "yesterday"),
    "too little history": (csv(lambda f: None), [], "sessions"),
    "a market with a tick of 0": (csv(lambda f: None), ["market.tick_size=0"], "tick_size"),
}


@pytest.mark.parametrize("case", CASES)
def test_malformed_input_is_one_line_and_leaves_nothing(case, tmp_path, monkeypatch, capfd):
    write, more, expected = CASES[case]
    path = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    code = command_line.run(
        [
            *("+market=ES", "source=files", f"source.path={path}", "source.label=open", "quiet=true"),
            *("features=bars_only", *more),  # the others take seconds to compose
        ]
    )
    lines = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert code == 2, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith("mia: ")
    assert expected in lines[0], lines[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == before

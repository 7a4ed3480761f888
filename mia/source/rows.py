"""Rows of files made clean: in order, prices in ticks, rolls removed; called by `files` only."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mia.domain.errors import DataError
from mia.domain.events import CLEAR, DEPTH, EVENT, TRADE
from mia.domain.market import Market
from mia.domain.series import INDEX, WIDTH
from mia.source.quality import Finding, finding, stamp
from mia.source.reading import numbers, read_files, stamps_ns
from mia.source.settings import FilesSettings

Array = np.ndarray

OFF_TICK = 1e-6
CONFLICT_SHARE = 0.01  # stamps with two prices beyond this share: two instruments in one table
PRICES = ("open", "high", "low", "close", "price", "bid", "ask")
BUYS = frozenset({"buy", "b", "1", "+1", "1.0"})
SELLS = frozenset({"sell", "s", "a", "2", "-1", "2.0", "-1.0"})


class CleanRows:
    """The usable rows of the files.

    Attributes
    ----------
    ts : (N,) int64, stamps as labelled [ns UTC], in order; bars have each once
    columns : name -> (N,) float64; prices in ticks without the jumps of rolls
    rolled : (N,) bool, first row after a roll
    findings, measures : what was found and mended
    """

    def __init__(self, market: Market, settings: FilesSettings, root: Path) -> None:
        self._settings = settings
        self.findings: list[Finding] = []
        frame = read_files(settings, root)
        self.measures: dict[str, Any] = {"rows read": len(frame)}
        ts, missing = stamps_ns(frame, settings)
        order = self._order(ts, missing)
        words = ("timestamp", "time", "side", "roll")
        columns = {n: numbers(frame, n)[order] for n in frame.columns if n not in words}
        self._one_instrument(ts, order, frame)
        segment = _segments(frame["roll"], order) if "roll" in frame else np.zeros(len(order), np.int64)
        side = _signs(frame["side"])[order] if "side" in frame else np.zeros(len(order), np.int8)
        good = ~self._bad(ts[order], columns)
        if not good.any():
            reasons = ", ".join(f"{f.count} with {f.name}" for f in self.findings if f.count)
            raise DataError(f"no row of {settings.path} can be used: {reasons}; correct the file or source.columns")
        self.ts = ts[order][good]
        self.side = side[good]
        self.columns = {n: c[good] for n, c in columns.items()}
        self.rolled = np.concatenate([[False], np.diff(segment[good]) != 0])
        self._to_ticks(settings.price_scale / market.tick_size)
        self._order_prices()
        self._remove_rolls()

    def _order(self, ts: Array, missing: Array) -> Array:
        """Row numbers in order of time; of bars with the same stamp the last is kept."""
        backwards = np.concatenate([[False], np.diff(ts) < 0]) & ~missing
        if backwards.any() and not self._settings.allow_unsorted:
            k = int(np.flatnonzero(backwards)[0])
            raise DataError(
                f"{self._settings.path}: {int(backwards.sum())} rows run back in time, first {stamp(ts[k])} "
                f"in row {k + 1}; sort the file or use source.allow_unsorted=true"
            )
        order = np.argsort(ts, kind="stable")
        order = order[~missing[order]]
        repeated = np.zeros(len(order), bool)
        if self._settings.content != "ticks" and len(order):
            repeated[:-1] = np.diff(ts[order]) == 0
        self.findings += [
            finding("stamps missing or impossible", missing, ts, "warning"),
            finding("unsorted", backwards, ts, "warning"),
            finding("duplicates", repeated, ts[order], "warning"),
        ]
        return order[~repeated]

    def _one_instrument(self, ts: Array, order: Array, frame: pd.DataFrame) -> None:
        """Refuse a table in which many stamps carry two different prices."""
        if self._settings.content != "bars":
            return
        close = numbers(frame, "close")
        kept = np.searchsorted(ts[order], ts)
        differ = close != close[order][np.minimum(kept, len(order) - 1)]
        differ &= np.isfinite(close) & np.isin(ts, ts[order])
        if differ.sum() > CONFLICT_SHARE * len(ts):
            raise DataError(
                f"{int(differ.sum())} rows of {self._settings.path} share a stamp but not the close, "
                f"first {stamp(ts[differ][0])}; choose one instrument, e.g. +source.filters.symbol=ES"
            )

    def _bad(self, ts: Array, columns: dict[str, Array]) -> Array:
        """Rows whose prices or sizes cannot be used."""
        kind = self._settings.content
        missing, negative, crossed, sizes = (np.zeros(len(ts), bool) for _ in range(4))
        quoting = np.zeros(len(ts), bool)
        if kind == "ticks" and "bid" in columns:
            quoting = np.isnan(columns["price"]) & ~(np.isnan(columns["bid"]) & np.isnan(columns["ask"]))
        for name in {"bars": ("open", "high", "low", "close"), "ticks": ("price",), "series": ()}[kind]:
            missing |= ~np.isfinite(columns[name]) & ~quoting
            negative |= columns[name] <= 0
        if kind == "bars":
            crossed = columns["high"] < columns["low"]
        for name in ("volume", "size", "bid_size", "ask_size"):
            if name in columns:
                sizes |= columns[name] < 0
        if "size" in columns:
            sizes |= ~quoting & ~(columns["size"] > 0)
        kinds = [
            finding("missing prices", missing, ts, "error"),
            finding("zero or negative prices", negative, ts, "error"),
            finding("high below low", crossed, ts, "error"),
            finding("impossible sizes", sizes, ts, "error"),
        ]
        bad = missing | negative | crossed | sizes
        named = ", ".join(f"{f.count} with {f.name}" for f in kinds if f.count)
        self.findings += [*kinds, finding("bad rows", bad, ts, "error", named)]
        return bad

    def _to_ticks(self, per_unit: float) -> None:
        """Round prices to ticks, half to even; a scaled price is expected to fall between them."""
        off = np.zeros(len(self.ts), bool)
        for name in PRICES:
            if name in self.columns:
                exact = self.columns[name] * per_unit
                self.columns[name] = np.rint(exact)
                off |= np.abs(exact - self.columns[name]) > OFF_TICK
        severity = "warning" if self._settings.price_scale == 1.0 else "info"
        self.findings.append(finding("off-tick prices", off, self.ts, severity))

    def _order_prices(self) -> None:
        """Widen high and low where the open or close lies outside them."""
        if "open" not in self.columns:
            return
        c = self.columns
        top, bottom = np.maximum(c["open"], c["close"]), np.minimum(c["open"], c["close"])
        outside = (top > c["high"]) | (bottom < c["low"])
        self.findings.append(finding("open or close outside high-low", outside, self.ts, "warning"))
        c["high"], c["low"] = np.maximum(c["high"], top), np.minimum(c["low"], bottom)

    def _remove_rolls(self) -> None:
        """Shift what follows a roll by its jump: the gap earns nothing and no past price changes."""
        self.findings.append(finding("rolls removed", self.rolled, self.ts, "info"))
        at = np.flatnonzero(self.rolled)
        if not len(at):
            return
        before = _last_valid(self.columns["close" if "close" in self.columns else "price"])
        after = _next_valid(self.columns["open" if "open" in self.columns else "price"])
        jumps = np.nan_to_num(after[at] - before[at - 1])
        shift = np.zeros(len(self.ts))
        shift[at] = jumps
        shift = np.cumsum(shift)
        for name in PRICES:
            if name in self.columns:
                self.columns[name] = self.columns[name] - shift
        self.measures["roll jumps [ticks]"] = {stamp(t): int(j) for t, j in zip(self.ts[at], jumps, strict=True)}

    def series(self, name: str) -> Array:
        """(N,) one base series of bars, NaN if the file does not hold it."""
        return self.columns.get(name.removeprefix("bar."), self.columns.get(name, np.full(len(self.ts), np.nan)))

    def base_series(self, rows: Array) -> Array:
        """(n, WIDTH) float64 of the numbered rows of bars, NaN where the file has nothing."""
        values = np.full((len(rows), WIDTH), np.nan)
        for name, column in self.columns.items():
            target = f"bar.{name}" if f"bar.{name}" in INDEX else name
            values[:, INDEX[target]] = column[rows]
        return values

    def events(self, rows: slice, opened: int) -> Array:
        """Events of one session's ticks: a cleared book, then for each row its quotes and its trade."""
        ts = self.ts[rows]
        c = {n: v[rows] for n, v in self.columns.items()}
        made = np.zeros((len(ts), 6), EVENT)
        made["ts"] = ts[:, None]
        used = np.zeros(made.shape, bool)
        made["kind"][0, 0], made["ts"][0, 0], used[0, 0] = CLEAR, opened, True
        if "bid" in c:
            sizes = (c.get(n, np.ones(len(ts))) for n in ("bid_size", "ask_size"))
            for side, price, size in zip((1, -1), (c["bid"], c["ask"]), sizes, strict=True):
                _quote(made, used, side, price, size)
        _trade(made, used, c["price"], c.get("size", np.ones(len(ts))), self.side[rows])
        return made[used]


def _quote(made: Array, used: Array, side: int, price: Array, size: Array) -> None:
    """Old quotes go before new ones come, both sides, so that the book never crosses in between."""
    price = np.where(size > 0, price, np.nan)
    was = np.concatenate([[np.nan], price[:-1]])
    was_size = np.concatenate([[0.0], size[:-1]])
    moved = (price != was) & ~(np.isnan(price) & np.isnan(was))
    gone, come = (1, 3) if side > 0 else (2, 4)
    for slot, mask, px, sz in (
        (gone, moved & ~np.isnan(was), was, np.zeros(len(size))),
        (come, ~np.isnan(price) & (moved | (size != was_size)), price, size),
    ):
        used[:, slot] = mask
        made["kind"][:, slot], made["side"][:, slot] = DEPTH, side
        made["price"][mask, slot] = px[mask].astype(np.int32)
        made["size"][mask, slot] = sz[mask].astype(np.int32)


def _trade(made: Array, used: Array, price: Array, size: Array, side: Array) -> None:
    mask = ~np.isnan(price)
    used[:, 5] = mask
    made["kind"][:, 5] = TRADE
    made["price"][mask, 5] = price[mask].astype(np.int32)
    made["size"][mask, 5] = size[mask].astype(np.int32)
    made["side"][:, 5] = side


def _signs(column: pd.Series) -> Array:
    """(N,) int8: +1 aggressive buy, -1 aggressive sell, 0 unknown."""
    text = column.astype(str).str.strip().str.lower()
    return text.isin(BUYS).to_numpy().astype(np.int8) - text.isin(SELLS).to_numpy().astype(np.int8)


def _segments(column: pd.Series, order: Array) -> Array:
    """Number of the contract each row belongs to, from a flag on first rows or from the contract's name."""
    text = column.astype(str).str.strip().str.lower()
    if text.isin(("true", "false", "0", "1", "0.0", "1.0")).all():
        return np.cumsum(text.isin(("true", "1", "1.0")).to_numpy()[order])
    return pd.factorize(text)[0][order]


def _last_valid(values: Array) -> Array:
    return pd.Series(values).ffill().to_numpy()


def _next_valid(values: Array) -> Array:
    return pd.Series(values).bfill().to_numpy()

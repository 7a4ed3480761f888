"""Leaks planted on purpose, one of each kind: proof that the audit finds them. `audit.plant=NAME` switches one on.

Each replaces the smallest function in which such a slip happens; with the block's end everything is as before.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from mia.desk import accounting, feature_pipeline, model_view, observation
from mia.domain.errors import ConfigurationError
from mia.domain.series import INDEX, MARKET_SERIES, OPTIONS, SOURCE_GROUPS
from mia.features.engine import FeatureEngine
from mia.features.normalisation import Scaler
from mia.memory.context_memory import ContextMemory
from mia.regime.regime_detector import RegimeModel
from mia.task import companions, features, ingest, regime, select, snapshots, train

Array = np.ndarray
Plant = Callable[[], Any]
_SESSION = INDEX["cal.session"]


@contextmanager
def _replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put `make(original)` in the place of a function for the time of the block."""
    original = owner.__dict__[name]
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _feature(column: str, leak: Callable[[Array, Array], Array]) -> Plant:
    """A market feature that is computed from the whole of the rows at hand: `leak(values of it, base rows)`."""

    def make(original: Any) -> Any:
        def advance(self: FeatureEngine, values: Array) -> Array:
            out = original(self, values)
            if self.plan.series is MARKET_SERIES:
                at = self.plan.columns.index(column)
                out[:, at] = leak(out[:, at].copy(), values)
            return out

        return advance

    return lambda: _replaced(FeatureEngine, "advance", make)


def _future_return(own: Array, rows: Array) -> Array:
    close = rows[:, INDEX["bar.close"]]
    own[:-1] = np.log(close[1:] / close[:-1])
    return own


def _centred_window(own: Array, rows: Array) -> Array:
    padded = np.pad(rows[:, INDEX["bar.close"]], 5, mode="edge")
    return rows[:, INDEX["bar.close"]] - np.convolve(padded, np.ones(11) / 11, mode="valid")


def _full_day_vwap(own: Array, rows: Array) -> Array:
    close, volume, session = (rows[:, INDEX[name]] for name in ("bar.close", "bar.volume", "cal.session"))
    for day in np.unique(session):
        of_day = session == day
        own[of_day] = close[of_day] - np.average(close[of_day], weights=np.maximum(volume[of_day], 1.0))
    return own


def _backward_fill(own: Array, rows: Array) -> Array:
    known = np.where(np.isfinite(own), np.arange(len(own)), len(own))
    following = np.minimum.accumulate(known[::-1])[::-1]
    filled = following < len(own)
    own[filled] = own[following[filled]]
    return own


def _whole_sample(own: Array, rows: Array) -> Array:
    return (own - np.nanmean(own)) / (np.nanstd(own) + 1e-12) if np.isfinite(own).any() else own


def _smoothed_hmm() -> Any:
    def make(original: Any) -> Any:
        def scan(self: RegimeModel, belief: Array, rows: Array) -> Array:
            out = original(self, belief, rows)
            for t in range(len(out) - 2, -1, -1):
                ahead = out[t] @ self.transmat
                out[t] *= self.transmat @ (out[t + 1] / np.maximum(ahead, 1e-300))
                out[t] /= out[t].sum()
            return out

        return scan

    return _replaced(RegimeModel, "scan", make)


def _scaler_on_all_data() -> Any:
    def make(original: Any) -> Any:
        def fit_view(settings: Any, plans: Any, block: Any, slots: Array, ts: Array, train: slice) -> Any:
            return original(settings, plans, block, slots, ts, slice(train.start, len(block)))

        return fit_view

    return _replaced(regime, "fit_view", make)


def _selection_outside_fold() -> Any:
    def make(original: Any) -> Any:
        def choose(view: Array, close: Array, session: Array, rows: slice, *rest: Any, **more: Any) -> Any:
            return original(view, close, session, slice(rows.start, len(view)), *rest, **more)

        return choose

    return _replaced(select, "choose", make)


def _policy_sees_the_test() -> Any:
    def make(original: Any) -> Any:
        def teach(settings: Any, taught: Any, progress: Any) -> Any:
            fold = taught.state.fold
            longer = replace(fold, train=slice(fold.train.start, fold.test.stop))
            return original(settings, replace(taught, state=replace(taught.state, fold=longer)), progress)

        return teach

    return _replaced(train, "make", make)


def _newest_fit_everywhere() -> Any:
    return _replaced(features, "newest", lambda _: lambda *asked: asked[1][-1])


@contextmanager
def _knowing_everything(name: str, make: Callable[[Any, dict[str, Any]], Any]) -> Iterator[None]:
    """Replace a fit by one that has seen all rows of the walk: `make(original, of the whole walk)`."""
    whole: dict[str, Any] = {}

    def walked(original: Any) -> Any:
        def from_bars(settings: Any, made: Any, watch: Any) -> Any:
            plans = features.plans_of(settings, made.bars.bar_minutes, made.session_minutes)
            pipeline = feature_pipeline.FeaturePipeline(plans, settings.market, settings.memory)
            block = pipeline.advance(made.bars.ts, made.bars.values)
            lesson = snapshots.Lesson(
                start=0, bar_minutes=made.bars.bar_minutes, ts=made.bars.ts, values=made.bars.values, block=block
            )
            whole.update(lesson=lesson, features=block.features, rows=len(made.bars))
            return original(settings, made, watch)

        return from_bars

    with _replaced(features, "make", walked), _replaced(snapshots, name, lambda original: make(original, whole)):
        yield


def _encoder_on_all_rows() -> Any:
    def make(original: Any, whole: dict[str, Any]) -> Any:
        def encoder(settings: Any, plans: Any, lesson: Any, view: Array, *rest: Any) -> Any:
            every, slots = whole["lesson"], whole["lesson"].base("cal.slot").astype(np.int64)
            scaler = Scaler.fit(
                plans.market,
                whole["features"],
                slots,
                slice(0, whole["rows"]),
                ts=every.ts,
                settings=settings.features.scaler,
            )
            return original(settings, plans, every, scaler.transform(whole["features"], slots)[0], *rest)

        return encoder

    return _knowing_everything("_encoder", make)


def _pca_on_full_sample() -> Any:
    def make(original: Any, whole: dict[str, Any]) -> Any:
        def fit(plan: Any, values: Array, table: Array, rows: slice) -> Any:
            return original(plan, whole["lesson"].values, whole["features"], slice(0, whole["rows"]))

        return fit

    return _knowing_everything("fit_features", make)


def _memory_foresees() -> Any:
    def make(original: Any) -> Any:
        def advance(self: ContextMemory, state: Any, contexts: Array, close: Array, *rest: Any) -> Array:
            ahead = self.settings.horizon_bars
            early = np.concatenate([close[ahead:], np.repeat(close[-1:], min(ahead, len(close)))])
            return original(self, state, contexts, early[: len(close)], *rest)

        return advance

    return _replaced(ContextMemory, "advance", make)


def _memory_without_embargo() -> Any:
    def make(original: Any) -> Any:
        def advance(self: ContextMemory, *rest: Any) -> Array:
            hasty = ContextMemory(basis=self.basis, settings=replace(self.settings, embargo_bars=0))
            return original(hasty, *rest)

        return advance

    return _replaced(ContextMemory, "advance", make)


def _same_day_open_interest() -> Any:
    columns = [OPTIONS.index(name) for name in ("opt.call_oi", "opt.put_oi")]

    def make(original: Any) -> Any:
        def options(self: Any, bars: Any) -> Array:
            out = original(self, bars)
            session = bars.column("cal.session")
            for day in np.unique(session):
                rows = np.flatnonzero(session == day)
                traded = np.nan_to_num(out[rows[-1], OPTIONS.index("opt.volume")])
                out[np.ix_(rows, columns)] += 0.1 * traded  # what the day will add, told in the morning
            return out

        return options

    return _replaced(companions.Companions, "_options", make)


def _news_by_event_time() -> Any:
    from mia.features.news.news_analyzer import NewsAnalyzer

    def make(original: Any) -> Any:
        def advance(self: Any, items: Any, releases: Any, ts: Array, alive: Array) -> Array:
            moved = [replace(item, received_at=item.published_at) for item in items]
            return original(self, moved, releases, ts, alive)

        return advance

    return _replaced(NewsAnalyzer, "advance", make)


def _bar_labelled_by_open() -> Any:
    """Another feed's bars, stamped by their open but declared to be stamped by their close: known a bar early."""
    early = [INDEX[name] for group in ("trades", "depth", "cross") for name in SOURCE_GROUPS[group]]

    def make(original: Any) -> Any:
        def bars_of(settings: Any, watch: Any) -> Any:
            made = original(settings, watch)
            values = made.bars.values.copy()
            values[:-1, early] = values[1:, early]
            return replace(made, bars=replace(made.bars, values=values))

        return bars_of

    return _replaced(ingest, "make", make)


def _back_adjustment_level() -> Any:
    from mia.source.rows import CleanRows

    def make(original: Any) -> Any:
        def remove(self: Any) -> None:
            before = {name: column.copy() for name, column in self.columns.items()}
            original(self)
            for name, column in self.columns.items():
                # The newest contract keeps its prices and the past is moved: what charts do.
                self.columns[name] = column + (before[name][-1] - column[-1])

        return remove

    return _replaced(CleanRows, "_remove_rolls", make)


def _view_centred_by_batch() -> Any:
    def make(original: Any) -> Any:
        def transform(self: Any, block: Any, slots: Array) -> Any:
            view, masks = original(self, block, slots)
            return view - view.mean(axis=0), masks

        return transform

    return _replaced(model_view.ModelView, "transform", make)


def _observation_one_row_late() -> Any:
    def make(original: Any) -> Any:
        def batch(self: Any, view: Array, masks: Array, belief: Array, **names: Any) -> Array:
            out = original(self, view, masks, belief, **names)
            out[:-1] = out[1:].copy()
            return out

        return batch

    return _replaced(observation.ObservationTemplate, "batch", make)


def _fill_at_the_close() -> Any:
    def make(original: Any) -> Any:
        def tables(tape: Any, terms: Any, positions: Any, targets: Any = None) -> Any:
            opened = tape.open.copy()
            opened[1:] = np.clip(tape.close[:-1], tape.low[1:], tape.high[1:])
            return original(replace(tape, open=opened), terms, positions, targets)

        return tables

    return _replaced(accounting, "outcome_tables", make)


PLANTS: Mapping[str, Plant] = {
    "future_return": _feature("log_return_1", _future_return),
    "centred_window": _feature("log_return_5", _centred_window),
    "full_day_vwap": _feature("vwap_band_z", _full_day_vwap),
    "backward_fill": _feature("rsi_14", _backward_fill),
    "whole_sample_z": _feature("realized_vol_30m", _whole_sample),
    "smoothed_hmm": _smoothed_hmm,
    "scaler_on_all_data": _scaler_on_all_data,
    "selection_outside_fold": _selection_outside_fold,
    "policy_sees_the_test": _policy_sees_the_test,
    "newest_fit_everywhere": _newest_fit_everywhere,
    "encoder_on_all_rows": _encoder_on_all_rows,
    "pca_on_full_sample": _pca_on_full_sample,
    "memory_foresees": _memory_foresees,
    "memory_without_embargo": _memory_without_embargo,
    "same_day_open_interest": _same_day_open_interest,
    "news_by_event_time": _news_by_event_time,
    "bar_labelled_by_open": _bar_labelled_by_open,
    "back_adjustment_level": _back_adjustment_level,
    "view_centred_by_batch": _view_centred_by_batch,
    "observation_one_row_late": _observation_one_row_late,
    "fill_at_the_close": _fill_at_the_close,
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a leak for the time of the block; "none" plants nothing.

    Raises
    ------
    ConfigurationError : if there is no such leak.
    """
    if name == "none":
        yield
        return
    if name not in PLANTS:
        raise ConfigurationError(f"audit.plant must be none or one of {', '.join(PLANTS)}, was {name}")
    with PLANTS[name]():
        yield

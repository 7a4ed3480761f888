"""Base rows to the whole feature table: the one path for research, backtest and live.

Joins the rooms of the floor below in a fixed order: market plan, scaler, regime filter, encoder, context memory,
drift, model plan, the sentinel's own record, self plan. n rows in batch, one row live, the same bits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mia.desk.awareness import Awareness, silent
from mia.desk.plans import Plans
from mia.desk.regime_inputs import regime_inputs
from mia.desk.snapshot import Snapshot
from mia.domain.errors import ArtefactMismatch, ConfigurationError
from mia.domain.market import Market
from mia.domain.series import CNN, INDEX, LSTM, MEMORY, MODEL_SERIES, REGIME, SELF_SERIES
from mia.encoder.settings import BOOK_SERIES
from mia.features.drift import DriftMonitor
from mia.features.engine import FeatureEngine
from mia.features.plan import Plan
from mia.memory.context_memory import ContextMemory, rebase
from mia.memory.settings import MemorySettings
from mia.regime.regime_detector import REGIMES

Array = np.ndarray

_SLOT, _SESSION = INDEX["cal.slot"], INDEX["cal.session"]
_BOOK = np.array([INDEX[name] for name in BOOK_SERIES])
_VIX = INDEX["xa.vix"]
_CLOSE, _HIGH, _LOW = (INDEX[f"bar.{name}"] for name in ("close", "high", "low"))

ATR = ("atr_dynamic", "atr_14")
"""Columns that say how large a bar is: the first, and its stand-in while that is cold."""

ENCODER_ROWS = 512
"""Rows a new encoder is led through before its first answer: several times what it remembers."""

_AT = {name: at for at, name in enumerate(MODEL_SERIES.names)}
_REGIME, _ENCODER, _MEMORY = (slice(_AT[names[0]], _AT[names[-1]] + 1) for names in (REGIME, (*LSTM, *CNN), MEMORY))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """What n rows became.

    Parameters
    ----------
    features : (n, C) columns of the market plan, service columns included, published units
    model, own : (n, Fx), (n, Fs) columns of the model and self plans, (n, 0) where there is none
    belief : (n, K) filtered regime probabilities; even where no model has been fitted yet
    """

    features: Array
    model: Array
    own: Array
    belief: Array

    def __len__(self) -> int:
        return len(self.features)

    def part(self, start: int, stop: int) -> "Block":
        """Rows `start` to `stop - 1`, sharing memory."""
        rows = slice(start, stop)
        return Block(features=self.features[rows], model=self.model[rows], own=self.own[rows], belief=self.belief[rows])

    def take(self, rows: Array | slice) -> "Block":
        """Rows by number, copied; a slice shares memory."""
        return Block(features=self.features[rows], model=self.model[rows], own=self.own[rows], belief=self.belief[rows])

    def table(self, plans: Plans) -> Array:
        """(n, F) published columns in the order of `plans.names`."""
        return np.concatenate([self.features[:, : len(plans.market.names)], self.model, self.own], axis=1)

    @classmethod
    def empty(cls, rows: int, plans: Plans) -> "Block":
        """Room for `rows` rows."""
        width = {name: len(plan.names) if (plan := plans.part(name)) else 0 for name in ("model", "self")}
        return cls(
            features=np.empty((rows, len(plans.market.columns))),
            model=np.empty((rows, width["model"])),
            own=np.empty((rows, width["self"])),
            belief=np.empty((rows, len(REGIMES))),
        )

    def put(self, at: int, other: "Block") -> None:
        """Write another block's rows from row `at` on."""
        for name in ("features", "model", "own", "belief"):
            getattr(self, name)[at : at + len(other)] = getattr(other, name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """Rows gone by, for parts that start anew.

    Parameters
    ----------
    ts : (R,) close times [ns UTC]
    values : (R, WIDTH) base series
    features : (R, C) columns of the market plan
    """

    ts: Array
    values: Array
    features: Array


class FeaturePipeline:
    """All streaming parts and their state.

    Parameters
    ----------
    plans : what is computed; fitted nodes stay NaN until a snapshot is adopted
    market : its tick size
    memory : how the context memory works
    """

    def __init__(self, plans: Plans, market: Market, memory: MemorySettings) -> None:
        self.plans = plans
        self.snapshot: Snapshot | None = None
        self._memory_settings = memory
        self._market = FeatureEngine(plans.market)
        model, own = plans.part("model"), plans.part("self")
        self._model = FeatureEngine(model) if model else None
        self._own = FeatureEngine(own) if own else None
        self._belief = np.full(len(REGIMES), 1.0 / len(REGIMES))
        self._tick_size = market.tick_size
        self._memory: ContextMemory | None = None
        self._drift: DriftMonitor | None = None
        self._states: dict[str, Any] = {}
        self._columns: dict[str, Array] = {}

    def adopt(self, snapshot: Snapshot, past: "Past | None" = None) -> None:
        """Go on with what a newer fit learned; everything remembered of the rows so far is kept.

        Parameters
        ----------
        snapshot : the fit
        past : the newest rows gone by. Parts that start anew (a new encoder always, the memory the first time) are
            led through them, so that they need not warm up again; without it they start cold.

        Raises
        ------
        ConfigurationError : if the regime model, encoder or memory reads a column that is itself fitted.
        ArtefactMismatch : if the snapshot was made with other features.
        """
        plan = self.plans.market
        if snapshot.scaler.names != plan.names:
            raise ArtefactMismatch("snapshot: was fitted on another feature set; fit it again")
        remembered = self._market.state
        self._market = FeatureEngine(plan.with_parameters(snapshot.fitted.params))
        self._market.state = remembered
        if self.snapshot is None:
            self._belief = snapshot.regime.initial
        fresh = {"encoder"} | ({"memory", "drift"} - set(self._states))
        self._columns = {"regime": columns_of(plan, snapshot.regime.inputs, "the regime model")}
        self._adopt_encoder(snapshot)
        self._adopt_memory(snapshot)
        self._adopt_self(snapshot)
        self.snapshot = snapshot
        if past is not None and len(past.ts):
            self._lead_through(snapshot, past, fresh)

    def _lead_through(self, snapshot: Snapshot, past: "Past", fresh: set[str]) -> None:
        """Let parts that start anew live through the past; their answers are thrown away."""
        view, _ = snapshot.scaler.transform(past.features, past.values[:, _SLOT])
        X = regime_inputs(past.features, view, self._columns["regime"])
        belief = snapshot.regime.filter(X)
        self._belief = belief[-1].copy()
        if snapshot.encoder is not None and self._model is not None:
            near = slice(max(0, len(view) - ENCODER_ROWS), len(view))
            self._encode(snapshot, past.values[near], view[near])
        if self._memory is not None and "memory" in fresh:
            self._remember(self._memory, past.ts, past.values, past.features, view, belief)
        if self._drift is not None and "drift" in fresh:
            near = slice(max(0, len(view) - self._drift.rows), len(view))
            self._drift.advance(self._states["drift"], _known(past.features[near], view[near]))

    def advance(self, ts: Array, rows: Array) -> Block:
        """Turn n more closed bars into features.

        Parameters
        ----------
        ts : (n,) int64 close times [ns UTC]
        rows : (n, WIDTH) float64 base series, calendar columns filled
        """
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        features = self._market.advance(rows)
        belief = np.tile(self._belief, (len(rows), 1))
        model_rows = np.full((len(rows), len(MODEL_SERIES.names)), np.nan)
        if self.snapshot is not None:
            view, _ = self.snapshot.scaler.transform(features, rows[:, _SLOT])
            belief = self._learned(self.snapshot, ts, rows, features, view, model_rows)
        model = self._model.advance(model_rows) if self._model else np.empty((len(rows), 0))
        own = np.empty((len(rows), 0))
        if self._own is not None:
            own_rows = np.full((len(rows), len(SELF_SERIES.names)), np.nan)
            if self.snapshot is not None:
                own_rows = self._be_aware(self.snapshot, rows, features, view, model, belief)
            own = self._own.advance(own_rows)
        return Block(features=features, model=model, own=own, belief=belief)

    def _learned(self, snapshot: Snapshot, ts: Array, rows: Array, features: Array, view: Array, model: Array) -> Array:
        """Fill the base series of models in `model`; returns the belief (n, K)."""
        belief = snapshot.regime.scan(self._belief, regime_inputs(features, view, self._columns["regime"]))
        self._belief = belief[-1].copy()
        model[:, _REGIME] = np.column_stack([belief, _expected(belief, _row_entropy(snapshot.regime.transmat))])
        if self._model is not None and snapshot.encoder is not None:
            model[:, _ENCODER] = self._encode(snapshot, rows, view)
        if self._model is not None and self._memory is not None:
            model[:, _MEMORY] = self._remember(self._memory, ts, rows, features, view, belief)
        return belief

    def _encode(self, snapshot: Snapshot, rows: Array, view: Array) -> Array:
        seen = np.ascontiguousarray(view[:, self._columns["encoder"]])
        book, vix = np.ascontiguousarray(rows[:, _BOOK]), np.ascontiguousarray(rows[:, _VIX])
        embedded: Array = snapshot.encoder.advance(self._states["encoder"], seen, book, vix)
        return embedded

    def _be_aware(
        self, snapshot: Snapshot, rows: Array, features: Array, view: Array, model: Array, belief: Array
    ) -> Array:
        """(n, SELF) base series of the policy: what the sentinel said one bar ago, and how the features drift."""
        drift = np.full(len(rows), np.nan)
        if self._drift is not None:
            drift = self._drift.advance(self._states["drift"], _known(features, view))
        said = silent(drift)
        if snapshot.sentinel is not None:
            said = snapshot.sentinel.advance(self._states["sentinel"], rows, features, model, belief, drift)
        return Awareness().advance(self._states["awareness"], said)

    def _remember(
        self, memory: ContextMemory, ts: Array, rows: Array, features: Array, view: Array, belief: Array
    ) -> Array:
        atr = features[:, self._columns["atr"]]
        size = np.where(np.isnan(atr[:, 0]), atr[:, 1], atr[:, 0]) / self._tick_size
        return memory.advance(
            self._states["memory"],
            view[:, self._columns["memory"]],
            rows[:, _CLOSE],
            rows[:, _HIGH],
            rows[:, _LOW],
            size,
            belief,
            rows[:, _SESSION],
            ts,
        )

    def _adopt_encoder(self, snapshot: Snapshot) -> None:
        if snapshot.encoder is None or self._model is None:
            self._states.pop("encoder", None)  # a restart from this snapshot has none either
            return
        self._columns["encoder"] = columns_of(self.plans.market, snapshot.encoder.inputs, "the encoder")
        # Its state is in units of its own weights: a new encoder starts anew and warms up.
        self._states["encoder"] = snapshot.encoder.initial_state()

    def _adopt_memory(self, snapshot: Snapshot) -> None:
        if snapshot.memory is None or self._model is None:
            return
        self._columns["memory"] = columns_of(self.plans.market, snapshot.memory.inputs, "the memory")
        self._columns["atr"] = service_columns(self.plans.market, ATR, "the memory")
        same = self._memory is not None and self._memory.basis.inputs == snapshot.memory.inputs
        self._memory = ContextMemory(basis=snapshot.memory, settings=self._memory_settings)
        self._states["memory"] = rebase(self._states["memory"], snapshot.memory) if same else self._memory.new_state()

    def _adopt_self(self, snapshot: Snapshot) -> None:
        if self._own is None:
            return
        self._states.setdefault("awareness", Awareness().new_state())
        if snapshot.drift is not None:
            same = self._drift is not None and self._drift.reference.names == snapshot.drift.names
            self._drift = DriftMonitor(reference=snapshot.drift)
            old = self._states["drift"] if same else None
            self._states["drift"] = self._drift.rebase(old) if old is not None else self._drift.new_state()
        if snapshot.sentinel is None:
            self._states.pop("sentinel", None)
        elif "sentinel" not in self._states:
            self._states["sentinel"] = snapshot.sentinel.shadow.new_state()

    @property
    def state(self) -> dict[str, Array]:
        """Copy of everything remembered, by name; with the snapshot it makes the pipeline go on as if never stopped."""
        found = {"market": self._market.state, "belief": self._belief.copy()}
        found |= {name: engine.state for name, engine in self._engines().items()}
        for part, held in self._states.items():
            arrays = held if isinstance(held, dict) else {"": held}
            found |= {f"{part}.{name}": array.copy() for name, array in arrays.items()}
        return found

    @state.setter
    def state(self, remembered: dict[str, Array]) -> None:
        if set(remembered) != set(self.state):
            raise ArtefactMismatch("pipeline state: was saved with other parts; adopt its snapshot first")
        self._market.state = remembered["market"]
        self._belief = remembered["belief"].copy()
        for name, engine in self._engines().items():
            engine.state = remembered[name]
        for part, held in self._states.items():
            if isinstance(held, dict):
                self._states[part] = {name: remembered[f"{part}.{name}"].copy() for name in held}
            else:
                self._states[part] = remembered[f"{part}."].copy()

    def _engines(self) -> dict[str, FeatureEngine]:
        engines = {"model": self._model, "self": self._own}
        return {name: engine for name, engine in engines.items() if engine is not None}


def _known(features: Array, view: Array) -> Array:
    """The scaled view, NaN where the feature is missing."""
    return np.where(np.isfinite(features[:, : view.shape[1]]), view, np.nan)


def service_columns(plan: Plan, names: Any, reader: str) -> Array:
    """(k,) columns of the market plan by name, the hidden ones included.

    Raises
    ------
    ConfigurationError : naming the feature.
    """
    place = {name: at for at, name in enumerate(plan.columns)}
    for name in names:
        if name not in place:
            raise ConfigurationError(f"{reader} reads {name}, which the feature set does not compute; choose another")
    return np.array([place[name] for name in names], dtype=np.int64)


def columns_of(plan: Plan, names: Any, reader: str) -> Array:
    """(k,) columns of published features that are not fitted themselves.

    Raises
    ------
    ConfigurationError : naming the feature.
    """
    found = service_columns(plan, names, reader)
    for name in names:
        if name in plan.learned_nodes:
            raise ConfigurationError(f"{reader} reads {name}, which is fitted itself; choose another feature")
    return found


def _expected(belief: Array, values: Array) -> Array:
    """(n,) mean of `values` (K,) under each belief, summed in a fixed order: a matrix product rounds by its size."""
    total: Array = belief[:, 0] * values[0]
    for k in range(1, len(values)):
        total = total + belief[:, k] * values[k]
    return total


def _row_entropy(transmat: Array) -> Array:
    """(K,) entropy of the next transition from each state [nats]."""
    logs = np.log(np.where(transmat > 0, transmat, 1.0))
    entropy: Array = -np.sum(transmat * logs, axis=1)
    return entropy

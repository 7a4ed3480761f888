"""The market whose signal only order flow betrays, seen through the product's own features. Called by known_worlds.

Bars of a synthetic contract pass the real pipeline: plans, engine, fitted features, regime filter, scaler and
observation. The learner sees what a policy of the product would see, and nothing else.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np

from mia.calendar.clock import annotate
from mia.desk.feature_pipeline import Block, FeaturePipeline, columns_of
from mia.desk.model_view import ModelView
from mia.desk.observation import ObservationTemplate
from mia.desk.plans import Plans, compile_plans
from mia.desk.regime_inputs import regime_inputs
from mia.desk.snapshot import Snapshot
from mia.desk.tape import Tape, from_bars
from mia.domain.bars import Bars
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.domain.series import INDEX
from mia.domain.sessions import Sessions
from mia.evaluation.known_world import MARKET as PLAIN
from mia.evaluation.known_world import Judged, Judgement, targets_of, terms
from mia.features.catalogue import expand
from mia.features.fitted import fit as fit_features
from mia.features.normalisation import Scaler
from mia.features.settings import FeatureSettings
from mia.memory.settings import MemorySettings
from mia.regime import regime_detector
from mia.regime.settings import HmmSettings
from mia.source import hidden_signal, yardstick
from mia.source.hidden_settings import HiddenSettings
from mia.source.hidden_signal import World

Array = np.ndarray

MARKET = replace(PLAIN, round_step=10.0, reference_price=1000.0)
"""Prices of a size at which features behave as on a market: a hundred thousand ticks."""

FIRST_DAY = np.datetime64("2000-01-03")
"""One session a day from here on; before the years of the event file, so that no event is made up."""

CHUNK_ROWS = 8192
OBSERVATION_CLIP = 10.0  # beyond the scaler's own bounds: a last guard, not a transformation

_MINUTE = 60_000_000_000
_DAY = 24 * 60 * _MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Settings of the product that shape what is seen.

    Parameters
    ----------
    features, regime, memory : of the rooms of those names
    """

    features: FeatureSettings
    regime: HmmSettings
    memory: MemorySettings


class HiddenYardstick:
    """The hidden market through the feature pipeline.

    Parameters
    ----------
    settings : the market
    rooms : the product's settings
    seed : of rows and fits

    Attributes
    ----------
    columns : names of what the learner sees, in order
    """

    def __init__(self, settings: HiddenSettings, rooms: Rooms, seed: int) -> None:
        self._settings = settings
        self._world = hidden_signal.world(settings, seed)
        start, stop = settings.fit_rows, settings.fit_rows + settings.train_rows
        bars = bars_of(self._world)
        plans = compile_plans(
            expand(rooms.features.groups), MARKET, bar_minutes=1, session_minutes=settings.session_bars
        )
        pipeline = FeaturePipeline(plans, MARKET, rooms.memory)
        pipeline.adopt(_fitted(plans, pipeline, bars.head(start), rooms, seed))
        train = _advance(pipeline, bars, start, stop, plans)
        self._view, self.template = _view(plans, bars, train, slice(start, stop), rooms.features)
        self.columns = self.template.names
        self.tape = self._tape(bars, train, slice(start, stop))
        del train
        fresh = _advance(pipeline, bars, stop, len(bars), plans)
        self._fresh = self._tape(bars, fresh, slice(stop, len(bars)))
        self.terms = terms(settings)

    def judge(self, policy: Judged) -> dict[str, float]:
        """Return a `Judgement` of a policy on the fresh rows, as a dict.

        `optimum` is what dynamic programming says of a filter that knows the model, `filter_achieved` what that
        filter with its best policy earns on these very rows.
        """
        settings = self._settings
        fresh = slice(len(self._world) - settings.judge_rows, len(self._world))
        best = yardstick.optimum(hidden_signal.as_yardstick(settings)).per_bar
        profit, cost, trades = self._earned(yardstick.hold(targets_of(policy, self._fresh.obs)), fresh)
        known = hidden_signal.kalman(self._world)[fresh]
        exact, _, _ = self._earned(yardstick.hold(hidden_signal.best_targets(settings, known)), fresh)
        rows = settings.judge_rows
        verdict = Judgement(
            optimum=best,
            achieved=profit / rows,
            fraction=profit / rows / best if best > 0 else float("nan"),
            cost=cost / rows,
            cost_fraction=cost / rows / best if best > 0 else float("nan"),
            trades=trades,
            rows=rows,
        )
        return asdict(verdict) | {"filter_achieved": exact / rows}

    def fresh(self) -> Tape:
        """Return the rows to be judged on."""
        return self._fresh

    def signal_known(self) -> tuple[Array, Array]:
        """Observations of the fresh rows (T, Dm) and the mean of the signal (T,) that the true filter gives them."""
        return self._fresh.obs, hidden_signal.kalman(self._world)[-self._settings.judge_rows :]

    def _earned(self, held: Array, rows: slice) -> tuple[float, float, int]:
        traded = int(np.abs(np.diff(held, prepend=0)).sum())
        cost = self._settings.cost * traded
        return float(self._settings.signal * (held * self._world.alpha[rows]).sum()) - cost, cost, traded

    def _tape(self, bars: Bars, block: Block, rows: slice) -> Tape:
        """Bars that open where the last one closed; a session's end forces nobody out."""
        return from_bars(
            MARKET,
            part(bars, rows),
            must_flat=np.zeros(len(block), dtype=np.bool_),
            may_enter=np.ones(len(block), dtype=np.bool_),
            obs=self._observed(bars, block, rows),
            belief=block.belief,
        )

    def _observed(self, bars: Bars, block: Block, rows: slice) -> Array:
        out = np.empty((len(block), self.template.width), dtype=np.float32)
        slots = bars.column("cal.slot").astype(np.int64)[rows]
        for at in range(0, len(block), CHUNK_ROWS):
            piece = slice(at, min(at + CHUNK_ROWS, len(block)))
            seen, masks = self._view.transform(block.take(piece), slots[piece])
            # No source comes or goes here, so the groups' masks would be constants.
            out[piece] = self.template.batch(seen, masks[:, :0], block.belief[piece], names=self._view.names)
        return out


def bars_of(world: World) -> Bars:
    """Return the world as annotated bars of one minute, one session a day."""
    settings, rows = world.settings, len(world)
    count = -(-rows // settings.session_bars)
    day = int(FIRST_DAY.astype("datetime64[ns]").astype(np.int64)) + np.arange(count, dtype=np.int64) * _DAY
    dates = FIRST_DAY + np.arange(count)
    opened, closed = day + _MINUTE, day + (settings.session_bars + 1) * _MINUTE
    sessions = Sessions(
        open_ns=opened,
        close_ns=closed,
        rth_open_ns=opened,
        rth_close_ns=closed,
        trade_date=np.array([int(str(date).replace("-", "")) for date in dates], dtype=np.int64),
        full_minutes=settings.session_bars,
    )
    minute = np.arange(rows, dtype=np.int64)
    ts = opened[minute // settings.session_bars] + (minute % settings.session_bars + 1) * _MINUTE
    first = round(MARKET.reference_price / MARKET.tick_size)
    values = hidden_signal.base_rows(world, first)
    if values[:, INDEX["bar.low"]].min() < 1:
        raise ConfigurationError(
            f"source {settings.name}: the price fell to nothing; lower noise or ticks_per_unit, or draw fewer rows"
        )
    bars = Bars(market=MARKET.name, bar_minutes=1, ts=ts, available_at=ts, values=values)
    return annotate(bars, sessions, MARKET)


def part(bars: Bars, rows: slice) -> Bars:
    """Return some rows of bars, sharing memory."""
    return replace(bars, ts=bars.ts[rows], available_at=bars.available_at[rows], values=bars.values[rows])


def _fitted(plans: Plans, pipeline: FeaturePipeline, past: Bars, rooms: Rooms, seed: int) -> Snapshot:
    """Lead the pipeline through the first rows and fit on them what is fitted below the policy."""
    plan, rows = plans.market, slice(0, len(past))
    features = pipeline.advance(past.ts, past.values).features
    slots = past.column("cal.slot").astype(np.int64)
    scaler = Scaler.fit(plan, features, slots, rows, ts=past.ts, settings=rooms.features.scaler)
    view, _ = scaler.transform(features, slots)
    inputs = regime_inputs(features, view, columns_of(plan, rooms.regime.inputs, "regime.inputs"))
    return Snapshot(
        index=0,
        fit_start=0,
        fit_stop=len(past),
        fit_end=int(past.ts[-1]),
        fitted=fit_features(plan, past.values, features, rows),
        scaler=scaler,
        regime=regime_detector.fit(inputs, rooms.regime, generator(seed, "yardstick_hidden", "regime")),
        encoder=None,
        memory=None,
        drift=None,
    )


def _advance(pipeline: FeaturePipeline, bars: Bars, start: int, stop: int, plans: Plans) -> Block:
    """Features of rows `start` to `stop - 1`, in pieces; the pipeline stands at row `start`."""
    block = Block.empty(stop - start, plans)
    for at in range(start, stop, CHUNK_ROWS):
        end = min(at + CHUNK_ROWS, stop)
        block.put(at - start, pipeline.advance(bars.ts[at:end], bars.values[at:end]))
    return block


def _view(
    plans: Plans, bars: Bars, block: Block, rows: slice, features: FeatureSettings
) -> tuple[ModelView, ObservationTemplate]:
    """Fit the view on the training rows; the observation is its columns that say anything there."""
    slots = bars.column("cal.slot").astype(np.int64)[rows]
    view = ModelView.fit(plans, block, slots, slice(None), ts=bars.ts[rows], settings=features.scaler)
    low, high = np.full(len(view.names), np.inf), np.full(len(view.names), -np.inf)
    for at in range(0, len(block), CHUNK_ROWS):
        piece = slice(at, min(at + CHUNK_ROWS, len(block)))
        seen, _ = view.transform(block.take(piece), slots[piece])
        low, high = np.minimum(low, seen.min(axis=0)), np.maximum(high, seen.max(axis=0))
    template = ObservationTemplate(
        view=view.names,
        selected=tuple(name for name, varies in zip(view.names, high > low, strict=True) if varies),
        masks=(),
        regimes=regime_detector.REGIMES,
        clip=OBSERVATION_CLIP,
    )
    return view, template

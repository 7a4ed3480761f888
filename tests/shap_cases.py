"""Small folds for the tests of the selection: slow columns, one of which moves the price."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from mia.domain.rng import generator
from mia.features.selection_settings import SelectionSettings
from mia.features.shap_weighting import select

CONF = Path(__file__).resolve().parents[1] / "conf" / "selection"


def settings_of(option):
    """The settings of conf/selection/<option>.yaml, what it builds on included."""
    body = yaml.safe_load((CONF / f"{option}.yaml").read_text())
    for base in body.pop("defaults", []):
        if base != "_self_":
            body = {**yaml.safe_load((CONF / f"{base}.yaml").read_text()), **body}
    return SelectionSettings(**{k: tuple(v) if isinstance(v, list) else v for k, v in body.items()})


SETTINGS = replace(
    settings_of("shap"),
    top_k=8,
    horizons=(5, 15),
    barrier_bars=15,
    splits=2,
    max_rows=1500,
    min_leaf_rows=40,
    embargo_bars=10,
    shadows=5,
    regime_min_rows=50,
)


@dataclass(frozen=True)
class Spec:
    name: str
    family: str = "bars"
    mandatory: bool = False
    fallback: bool = False


def slow(rng, rows, width, memory=0.9):
    view = rng.standard_normal((rows, width))
    for t in range(1, rows):
        view[t] = memory * view[t - 1] + np.sqrt(1 - memory**2) * view[t]
    return view


def prices(rng, drift, deviation=4.0):
    """Closes (T,) whose next change leans by `drift` ticks."""
    steps = np.rint(deviation * rng.standard_normal(len(drift) - 1) + drift[:-1])
    return 20000 + np.concatenate(([0], np.cumsum(steps))).astype(np.int64)


def case(rows=5000, width=24, seed=1, signal=0.8):
    """View with slow columns of which number 3 moves the price; number 4 is its near-copy."""
    rng = generator(seed, "view")
    view = slow(rng, rows, width)
    view[:, 4] = view[:, 3] + 0.2 * rng.standard_normal(rows)
    close = prices(rng, 4 * signal * view[:, 3])
    specs = [Spec(f"f{j}", mandatory=j in (10, 20), fallback=j % 2 == 0) for j in range(width)]
    return view, close, np.arange(rows) // 250, specs


def choose(settings=SETTINGS, seed=1, stop=4000, made=None, **more):
    """Select on the first rows of a case."""
    view, close, session, specs = case() if made is None else made
    return select(view, close, session, slice(0, stop), specs, settings, generator(seed, "select"), **more)

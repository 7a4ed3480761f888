"""Small plans from a few lines, and the whole catalogue, for the tests of the feature room."""

from pathlib import Path

import numpy as np
import yaml
from synthetic_rows import MARKET

from mia.domain.series import INDEX, WIDTH
from mia.features.catalogue import expand
from mia.features.engine import FeatureEngine
from mia.features.plan import compile_plan

CONF = Path(__file__).resolve().parents[2] / "conf" / "features"
FACTS = {"unit": "1", "range": [None, None], "warm": 1, "norm": "none", "src": "test"}


def option(name):
    """A conf/features option with its groups read in, as Hydra composes it."""
    content = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    groups = {}
    for entry in content.pop("defaults"):
        if entry != "_self_":
            ((key, file),) = entry.items()
            groups[key.removeprefix("group@groups.")] = yaml.safe_load((CONF / "group" / f"{file}.yaml").read_text())
    return {**content, "groups": groups}


def catalogue(name, session_minutes=1380, bar_minutes=1):
    """Compiled plan of a whole option."""
    specs = expand(option(name)["groups"])
    return compile_plan(specs, MARKET, bar_minutes=bar_minutes, session_minutes=session_minutes)


def plan_of(lines, session_minutes=1380, bar_minutes=1):
    """Plan of a few lines without the facts a real line must state."""
    specs = expand({"bench": {"family": "bench", "specs": {name: FACTS | line for name, line in lines.items()}}})
    return compile_plan(specs, MARKET, bar_minutes=bar_minutes, session_minutes=session_minutes)


def rows(**columns):
    """(T, WIDTH) rows with the given columns (dots written as two underscores), everything else missing."""
    values = np.full((len(next(iter(columns.values()))), WIDTH), np.nan)
    for name, column in columns.items():
        values[:, INDEX[name.replace("__", ".")]] = column
    return values


def run(line, values, **options):
    """(T,) published values of one line."""
    return FeatureEngine(plan_of({"x": line}, **options)).batch(values)[:, 0]


def walk_ticks(rng, T, start=20000):
    """Integer random walk of bars in ticks: open, high, low, close."""
    close = start + np.cumsum(rng.integers(-6, 7, T)).astype(float)
    opening = np.concatenate(([start], close[:-1])) + rng.integers(-1, 2, T)
    high = np.maximum(opening, close) + rng.integers(0, 5, T)
    low = np.minimum(opening, close) - rng.integers(0, 5, T)
    return opening, high, low, close


def sessions_of(count, length):
    """cal.session and cal.slot of `count` full sessions of `length` bars."""
    return np.repeat(np.arange(float(count)), length), np.tile(np.arange(float(length)), count)

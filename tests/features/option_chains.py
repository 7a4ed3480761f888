"""Makes option chains by hand for the tests of the option metrics: an own pricer, a skewed surface, settings."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import yaml

from mia.domain.chain import CALL, PUT, Chain
from mia.domain.market import Market
from mia.domain.series import OPTIONS
from mia.features.options.settings import OptionsSettings
from mia.task.schema import build

ROOT = Path(__file__).resolve().parents[2]
DAY = 86_400 * 10**9
NOON = 1_736_182_800 * 10**9  # 2025-01-06 17:00 UTC
WIDE = np.arange(5200.0, 6801.0, 10.0)


def settings(**changes):
    """The menu's default with changes."""
    values = yaml.safe_load((ROOT / "conf" / "options" / "default.yaml").read_text())
    return dataclasses.replace(build(OptionsSettings, values, "options"), **changes)


def market(name="ES"):
    return build(Market, yaml.safe_load((ROOT / "conf" / "market" / f"{name}.yaml").read_text()), "market")


def normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def black(forward, strike, years, vol, rate, right):
    """Black (1976), written again."""
    spread = vol * math.sqrt(years)
    d1 = (math.log(forward) - math.log(strike)) / spread + spread / 2
    value = forward * normal_cdf(right * d1) - strike * normal_cdf(right * (d1 - spread))
    return math.exp(-rate * years) * right * value


def surface(x, years):
    """A skewed volatility in x = ln(K/F)/sqrt(T), rising with time; variance is quadratic in x."""
    return math.sqrt(max(0.02 + 0.01 * math.sqrt(years) - 0.06 * x + 0.15 * x * x, 0.002))


def chain(
    days=(0.2, 2.0, 9.0, 37.0, 71.0),
    strikes=WIDE,
    forward=6000.0,
    carry=0.0,
    rate=0.04,
    vol=surface,
    spread=0.02,
    ts=NOON,
    reference=6000.0,
    interest=None,
    volume=None,
    given=True,
):
    """Every strike's call and put at every expiry, quoted `spread` wide around the model's price.

    interest, volume : (days, strike, right) -> contracts; None: mostly calls above and puts below, none traded
    """
    rows = [(d, k, c) for d in days for k in strikes for c in (CALL, PUT)]
    forwards = [forward * math.exp(carry * d / 365) for d, _, _ in rows]
    values = []
    for (d, k, c), f in zip(rows, forwards, strict=True):
        years = d / 365
        values.append(black(f, k, years, vol(math.log(k / f) / math.sqrt(years), years), rate, c))
    values = np.array(values)
    return Chain(
        ts=ts,
        available_at=ts,
        reference=reference,
        multiplier=50.0,
        rate=rate,
        expiry=np.array([ts + round(d * DAY) for d, _, _ in rows], np.int64),
        strike=np.array([k for _, k, _ in rows]),
        right=np.array([c for _, _, c in rows], np.int64),
        forward=np.array(forwards) if given else np.full(len(rows), np.nan),
        bid=values - spread / 2,
        ask=values + spread / 2,
        open_interest=np.array(
            [(50.0 + 100.0 * ((row[1] - forward) * row[2] > 0)) if interest is None else interest(*row) for row in rows]
        ),
        open_interest_at=ts - DAY // 2,
        volume=np.array([0.0 if volume is None else volume(*row) for row in rows]),
    )


def taken(made, rows):
    """The chain's options in another order, or some of them."""
    names = ("expiry", "strike", "right", "forward", "bid", "ask", "open_interest", "volume")
    return dataclasses.replace(made, **{name: getattr(made, name)[rows] for name in names})


def named(row):
    """A row by name without the prefix."""
    return {name.removeprefix("opt."): float(value) for name, value in zip(OPTIONS, row, strict=True)}

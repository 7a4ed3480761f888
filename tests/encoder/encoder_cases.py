"""Small rows and settings for the encoder's tests: a market whose book and flow lean before it moves."""

import numpy as np

from mia.encoder.rows import EncoderRows
from mia.encoder.settings import BOOK_SERIES, EncoderSettings

INPUTS = ("flow", "move", "size")


def settings(**changes) -> EncoderSettings:
    """Tiny networks and a few steps."""
    tiny = {
        "name": "tiny",
        "kinds": ("lstm", "cnn"),
        "directional": ("flow", "move"),
        "undirected": ("size",),
        "lstm_hidden": 4,
        "lstm_window": 16,
        "cnn_width": 4,
        "clip": 5.0,
        "return_bars": 5,
        "other_return_bars": (1,),
        "volatility_minutes": 8.0,
        "vix_minutes": 10.0,
        "barrier": 0.75,
        "barrier_memory": 20.0,
        "max_rows": 5000,
        "validation_share": 0.25,
        "embargo": 5,
        "epochs": 3,
        "steps": 4,
        "sequences": 4,
        "sequence_bars": 80,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "input_dropout": 0.1,
        "side_weight": 0.1,
        "patience": 9,
        "anchor_rows": 400,
    }
    return EncoderSettings(**{**tiny, **changes})


def rows(count: int = 900, seed: int = 0, session_rows: int = 300) -> EncoderRows:
    """A slow hidden lean moves flow and book now and the price a little later."""
    rng = np.random.default_rng(seed)
    lean = np.zeros(count)
    for t in range(1, count):
        lean[t] = 0.97 * lean[t - 1] + 0.25 * rng.standard_normal()
    flow = lean + rng.standard_normal(count)
    step = np.round(np.concatenate([[0.0], lean[:-1]]) + 2.0 * rng.standard_normal(count))
    price = 20_000.0 + np.cumsum(step)
    size = np.abs(rng.standard_normal(count))
    move = np.clip(step / 2.0, -5, 5)
    levels = np.arange(5)
    depth = np.empty((count, len(BOOK_SERIES)))
    depth[:, 0:5] = price[:, None] - levels
    depth[:, 5:10] = rng.poisson(np.exp(3.0 + 0.2 * lean)[:, None] * np.ones(5)) + 1
    depth[:, 10:15] = price[:, None] + 1 + levels
    depth[:, 15:20] = rng.poisson(np.exp(3.0 - 0.2 * lean)[:, None] * np.ones(5)) + 1
    return EncoderRows(
        inputs=INPUTS,
        view=np.column_stack([flow, move, size]),
        present=np.ones(count, dtype=bool),
        depth=depth,
        price=price,
        vix=17.0 + 0.01 * np.cumsum(rng.standard_normal(count)),
        session=np.arange(count, dtype=np.int64) // session_rows,
        fit_end=1_700_000_000_000_000_000,
    )

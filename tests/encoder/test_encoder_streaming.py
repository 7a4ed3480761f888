"""Running an encoder: any cutting into calls, gaps, warm-up, and torch as the oracle."""

import encoder_cases as cases
import numpy as np
import pytest
import torch

from mia.domain.errors import ArtefactMismatch
from mia.domain.series import CNN, CNN_WIDTH, LSTM, LSTM_WIDTH
from mia.encoder import batches, fitting, kernels, training
from mia.encoder.encoder import CnnWeights, Encoder, LstmWeights
from mia.encoder.rows import split, targets
from mia.encoder.settings import BOOK_WINDOW

PUBLISHED = len(LSTM) + len(CNN)
BOOK = slice(len(LSTM), PUBLISHED)


def encode(encoder, rows, cuts=()):
    state, parts = encoder.initial_state(), []
    for start, stop in zip((0, *cuts), (*cuts, len(rows)), strict=True):
        part = rows.part(start, stop)
        parts.append(encoder.advance(state, part.view, part.depth, part.vix))
    return np.concatenate(parts), state


def test_rows_one_by_one_give_the_bits_of_all_at_once(small_encoder):
    rows = cases.rows(400, seed=3)
    whole, state = encode(small_encoder, rows)
    single, single_state = encode(small_encoder, rows, tuple(range(1, 400)))
    assert whole.tobytes() == single.tobytes()
    assert state.tobytes() == single_state.tobytes()


@pytest.mark.parametrize("cuts", [(1,), (63, 64, 65), (100, 101, 350), tuple(range(7, 400, 13))])
def test_any_chunks_give_the_same_bits(small_encoder, cuts):
    rows = cases.rows(400, seed=3)
    assert encode(small_encoder, rows)[0].tobytes() == encode(small_encoder, rows, cuts)[0].tobytes()


def test_a_copied_state_goes_on_as_the_original(small_encoder):
    rows = cases.rows(300, seed=4)
    first, later = rows.part(0, 150), rows.part(150, 300)
    state = small_encoder.initial_state()
    small_encoder.advance(state, first.view, first.depth, first.vix)
    copied = state.copy()
    a = small_encoder.advance(state, later.view, later.depth, later.vix)
    b = small_encoder.advance(copied, later.view, later.depth, later.vix)
    assert a.tobytes() == b.tobytes()


def test_nothing_is_said_before_enough_was_seen(small_encoder):
    told = encode(small_encoder, cases.rows(200, seed=5))[0]
    assert told.shape == (200, PUBLISHED)
    assert np.isnan(told[: 16 - 1, : len(LSTM)]).all()
    assert np.isfinite(told[16 - 1 :, : len(LSTM)]).all()
    assert np.isnan(told[: BOOK_WINDOW - 1, BOOK]).all()
    assert np.isfinite(told[BOOK_WINDOW - 1 :, BOOK]).all()


def test_embeddings_stay_within_one_and_probabilities_sum_to_one(small_encoder):
    told = encode(small_encoder, cases.rows(400, seed=6))[0][64:]
    assert np.abs(told[:, :LSTM_WIDTH]).max() <= 1
    assert np.abs(told[:, len(LSTM) : len(LSTM) + CNN_WIDTH]).max() <= 1
    at = LSTM.index("mdl.lstm_p_up")
    np.testing.assert_allclose(told[:, at : at + 3].sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(told[:, -3:].sum(axis=1), 1, rtol=1e-12)
    assert (told[:, LSTM.index("mdl.lstm_volatility")] > 0).all()
    assert (told[:, LSTM.index("mdl.lstm_return_sd")] > 0).all()
    assert (told[:, LSTM.index("mdl.lstm_reconstruction")] >= 0).all()


def test_the_book_encoder_is_silent_while_a_gap_is_in_its_window_and_forgets_it_after(small_encoder):
    rows = cases.rows(400, seed=7)
    rows.depth[200, 3] = np.nan
    told = encode(small_encoder, rows)[0][:, BOOK]
    assert np.isfinite(told[199]).all()
    assert np.isnan(told[200 : 200 + BOOK_WINDOW]).all()
    assert np.isfinite(told[200 + BOOK_WINDOW :]).all()
    # from one complete window on, only the first move after the gap could have differed, and it is outside now
    fresh = encode(small_encoder, rows.part(201, 400))[0][:, BOOK]
    assert fresh[BOOK_WINDOW - 1 :].tobytes() == told[200 + BOOK_WINDOW :].tobytes()


def test_missing_features_are_neutral_and_poison_nothing(small_encoder):
    rows = cases.rows(300, seed=8)
    missing = rows.view.copy()
    missing[150:170] = np.nan
    neutral = np.nan_to_num(missing)
    state = small_encoder.initial_state()
    told = small_encoder.advance(state, missing, rows.depth, rows.vix)
    same = small_encoder.advance(small_encoder.initial_state(), neutral, rows.depth, rows.vix)
    assert told.tobytes() == same.tobytes()
    assert np.isfinite(told[150:]).all()


def test_an_unknown_index_silences_its_forecast_alone(small_encoder):
    rows = cases.rows(100, seed=9)
    state = small_encoder.initial_state()
    told = small_encoder.advance(state, rows.view, rows.depth)[70:]
    at = LSTM.index("mdl.lstm_vix")
    assert np.isnan(told[:, at]).all()
    assert np.isfinite(np.delete(told, at, axis=1)).all()


def test_later_rows_change_no_earlier_output(small_encoder):
    rows = cases.rows(300, seed=10)
    told = encode(small_encoder, rows)[0]
    rows.view[200:] *= 1000
    rows.depth[200:] = np.nan
    assert encode(small_encoder, rows)[0][:200].tobytes() == told[:200].tobytes()


def test_rows_of_another_shape_are_refused(small_encoder):
    rows = cases.rows(10)
    state = small_encoder.initial_state()
    with pytest.raises(ArtefactMismatch, match="reads 3 features"):
        small_encoder.advance(state, rows.view[:, :2], rows.depth)
    with pytest.raises(ArtefactMismatch, match="reads 3 features"):
        small_encoder.advance(state, rows.view, rows.depth[:, :4])
    with pytest.raises(ArtefactMismatch, match="reads 3 features"):
        small_encoder.advance(state[:-1], rows.view, rows.depth)


def bold(module):
    """Weights large enough that every gate and rectifier is at work."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape))
    return module


def lesson_of(kind, rows, settings):
    found = targets(rows, settings, 1.0)
    parted = split(len(rows), settings, found.longest)
    make = batches.view_lesson if kind == "lstm" else batches.book_lesson
    return make(rows, found, parted, settings)


def packed(kind, module, lesson, settings):
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    width = LSTM_WIDTH if kind == "lstm" else CNN_WIDTH
    plain = {"turn": np.eye(width), "shift": np.zeros(width)}
    pack = training._pack_lstm if kind == "lstm" else training._pack_cnn
    made = (LstmWeights if kind == "lstm" else CnnWeights)(**pack(weights, lesson, len(settings.horizons)), **plain)
    parts = {"lstm": None, "cnn": None, kind: made}
    return Encoder(inputs=cases.INPUTS, fit_end=0, window=16, clip=5.0, card={}, **parts)


def test_compiled_lstm_equals_torch():
    rows, settings = cases.rows(500, seed=11), cases.settings(kinds=("lstm",))
    lesson = lesson_of("lstm", rows, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = bold(fitting.network(lesson, settings)).double()
    told = encode(packed("lstm", module, lesson, settings), rows)[0]
    x = torch.from_numpy(np.clip(rows.view, -5, 5))[None]
    with torch.no_grad():
        out = {name: tensor[0].numpy() for name, tensor in module.sequence(x).items()}
    n = len(settings.horizons)
    assert n == 2
    unit, v_mean, v_sd, i_mean, i_sd = lesson.units
    deviation = unit * np.exp(np.clip(out["log_deviation"][:, 0], -4, 4))
    expected = np.column_stack(
        [
            np.tanh(out["raw"]),
            rows.vix * np.exp(np.clip(i_mean + i_sd * out["vix"], -1, 1)),
            np.exp(v_mean + v_sd * np.clip(out["volatility"], -6, 6)),
            deviation * out["z"][:, 0],
            deviation,
            torch.softmax(torch.from_numpy(out["barrier"]), -1).numpy(),
            ((out["inputs"] - x[0].numpy()) ** 2).mean(axis=1),
        ]
    )
    np.testing.assert_allclose(told[15:, : len(LSTM)], expected[15:], rtol=1e-9, atol=1e-9)


def test_compiled_cnn_equals_torch():
    rows, settings = cases.rows(500, seed=12), cases.settings(kinds=("cnn",))
    lesson = lesson_of("cnn", rows, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        module = bold(fitting.network(lesson, settings)).double()
    told = encode(packed("cnn", module, lesson, settings), rows)[0][:, BOOK]
    # the lesson's own inputs are rounded to float32, and weights as bold as these would magnify that
    x = np.clip((kernels.book_rows(rows.depth)[0] - lesson.center) / lesson.spread, -5, 5)
    np.testing.assert_allclose(x, lesson.x, atol=1e-6)
    with torch.no_grad():
        out = module.sequence(torch.from_numpy(x)[None])
        expected = torch.cat([torch.tanh(out["raw"]), torch.softmax(out["barrier"], -1)], dim=-1)[0].numpy()
        windows = torch.from_numpy(np.stack([x[t - 63 : t + 1] for t in range(63, 500)]))
        embedded = module(windows).numpy()
    np.testing.assert_allclose(told[63:], expected[63:], rtol=1e-9, atol=1e-9)
    # forward reads windows (B, W, F) and gives (B, E): the same numbers, so 64 rows are all the CNN sees
    assert embedded.shape == (437, CNN_WIDTH)
    np.testing.assert_allclose(told[63:, :CNN_WIDTH], embedded, rtol=1e-9, atol=1e-9)


def test_forward_of_the_lstm_reads_windows():
    settings = cases.settings(kinds=("lstm",))
    lesson = lesson_of("lstm", cases.rows(500), settings)
    module = fitting.network(lesson, settings)
    x = torch.zeros(5, 16, 3)
    assert module(x).shape == (5, LSTM_WIDTH)


def test_the_convolutions_see_exactly_the_window():
    assert kernels.WINDOW == BOOK_WINDOW == 64


def test_book_channels_are_what_the_docstring_says():
    depth = np.array(
        [100.0, 99, 97, 96, 95, 10, 20, 30, 40, 50, 101.0, 102, 104, 105, 106, 1, 2, 3, 4, 5], dtype=np.float64
    )
    out = np.empty(20)
    assert kernels.book_channels(depth, 100.0, out) == 100.5
    np.testing.assert_allclose(out[:5], [0.0, -1, -2, -1, -1])
    np.testing.assert_allclose(out[10:15], [-1.0, -1, -2, -1, -1])
    np.testing.assert_allclose(out[5:10], np.log1p([10, 20, 30, 40, 50]))
    np.testing.assert_allclose(out[15:20], np.log1p([1, 2, 3, 4, 5]))


def test_a_market_turned_upside_down_swaps_the_sides_of_the_book():
    rows = cases.rows(50)
    channels, _ = kernels.book_rows(rows.depth)
    turned = rows.depth[:, [*range(10, 20), *range(10)]].copy()
    for price in (slice(0, 5), slice(10, 15)):
        turned[:, price] = 40_000.0 - turned[:, price]
    swapped, _ = kernels.book_rows(turned)
    np.testing.assert_allclose(swapped, channels[:, [*range(10, 20), *range(10)]], atol=1e-9)


def test_decaying_means_halve_in_their_half_life():
    values = np.zeros((11, 1))
    values[0] = 1.0
    found = kernels.decaying_means(values, np.array([10.0]))[:, 0]
    assert found[10] == pytest.approx(0.5 * found[0])
    assert found[0] == pytest.approx(1 - 0.5**0.1)

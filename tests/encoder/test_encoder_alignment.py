"""Axes that stay what they were when the encoder is trained again."""

import encoder_cases as cases
import numpy as np

from mia.domain.series import LSTM, LSTM_WIDTH
from mia.encoder.alignment import aligned_axes, own_axes
from mia.encoder.training import fit


def sums(seed=0, rows=2000, width=6):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, width)) * [3, 2, 1.5, 1, 0.8, 0.7] + [1, 0, -1, 2, 0, 0]


def rotation(width=6, seed=1):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0]


def test_first_axes_are_centred_uncorrelated_and_of_spread_one():
    raw = sums() @ rotation()
    axes = own_axes(raw)
    published = raw @ axes.turn + axes.shift
    np.testing.assert_allclose(published.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(published.T, ddof=0), np.eye(6), atol=1e-9)
    assert np.isnan(axes.agreement).all()


def test_a_turned_encoder_is_turned_back_exactly():
    raw = sums()
    first = own_axes(raw)
    before = raw @ first.turn + first.shift
    turned = raw @ rotation() + 5.0  # the same content along other axes
    axes = aligned_axes(turned, before)
    np.testing.assert_allclose(turned @ axes.turn + axes.shift, before, atol=1e-8)
    np.testing.assert_allclose(axes.agreement, 1.0, atol=1e-9)


def test_noise_in_the_new_encoder_only_lowers_the_agreement():
    raw = sums()
    first = own_axes(raw)
    before = raw @ first.turn + first.shift
    rng = np.random.default_rng(3)
    turned = (raw + 0.3 * rng.standard_normal(raw.shape)) @ rotation()
    agreement = aligned_axes(turned, before).agreement
    assert agreement.min() > 0.85
    assert agreement.max() < 1.0


def test_an_idle_direction_is_not_blown_up():
    raw = sums()
    raw[:, 5] = 1e-9 * np.random.default_rng(4).standard_normal(len(raw))
    axes = own_axes(raw)
    assert np.abs(axes.turn).max() < 10


def spread_of_agreement(values):
    return np.abs(np.corrcoef(values[0].T, values[1].T)[:LSTM_WIDTH, LSTM_WIDTH:])


def test_axes_of_a_retrained_encoder_follow_the_previous_ones(small_encoder):
    rows, later = cases.rows(1200), cases.rows(600, seed=20)
    settings = cases.settings()
    free = fit(rows, settings, 99, bar_minutes=1.0)
    aligned = fit(rows, settings, 99, bar_minutes=1.0, previous=small_encoder)
    told = {
        name: made.advance(made.initial_state(), later.view, later.depth, later.vix)[100:]
        for name, made in (("before", small_encoder), ("free", free), ("aligned", aligned))
    }

    def own(name):
        both = spread_of_agreement((told["before"][:, :LSTM_WIDTH], told[name][:, :LSTM_WIDTH]))
        signed = [np.corrcoef(told["before"][:, k], told[name][:, k])[0, 1] for k in range(LSTM_WIDTH)]
        assert both.shape == (LSTM_WIDTH, LSTM_WIDTH)
        return float(np.mean(signed))

    assert own("aligned") > 0.6
    assert own("aligned") > own("free") + 0.3
    # only the axes are turned: what the heads foresee does not change by it
    heads = slice(LSTM_WIDTH, len(LSTM))
    np.testing.assert_array_equal(told["aligned"][:, heads], told["free"][:, heads])
    assert np.abs(told["aligned"][:, :LSTM_WIDTH]).max() <= 1
    agreement = aligned.card["kinds"]["lstm"]["agreement"]
    assert len(agreement) == LSTM_WIDTH
    assert np.mean(agreement) > 0.6


def test_an_encoder_of_other_inputs_is_not_aligned_to(small_encoder):
    from dataclasses import replace

    rows = cases.rows()
    renamed = replace(rows, inputs=("flow", "move", "other"))
    made = fit(renamed, cases.settings(kinds=("lstm",)), 3, bar_minutes=1.0, previous=small_encoder)
    assert np.isnan(made.card["kinds"]["lstm"]["agreement"]).all()

"""Training: same seed same bytes, interruption, quiet, the past alone."""

import os

import encoder_cases as cases
import numpy as np
import pytest

from mia.domain.errors import ConfigurationError
from mia.encoder.batches import learning_batches, mirrored, view_lesson
from mia.encoder.rows import split, targets
from mia.encoder.training import fit


def content(encoder):
    """Bytes of the encoder; how long training took is no part of it."""
    card = {key: value for key, value in encoder.card.items() if key != "cpu_s"}
    return encoder.version, encoder.to_files()["encoder.safetensors"], card["kinds"], card["linear"]


def test_the_same_seed_gives_the_same_bytes(small_encoder):
    again = fit(cases.rows(), cases.settings(), 7, bar_minutes=1.0)
    assert repr(content(again)) == repr(content(small_encoder))


def test_another_seed_gives_another_encoder(small_encoder):
    assert fit(cases.rows(), cases.settings(), 8, bar_minutes=1.0).version != small_encoder.version


class _Stop(Exception):
    pass


def test_interrupted_training_goes_on_to_the_same_bytes(small_encoder, tmp_path):
    seen = []

    def stop_late(done, total):
        seen.append(done)
        if done >= 18:  # in the CNN's second epoch
            raise _Stop

    with pytest.raises(_Stop):
        fit(cases.rows(), cases.settings(), 7, bar_minutes=1.0, folder=tmp_path, progress=stop_late)
    resumed = []
    made = fit(
        cases.rows(),
        cases.settings(),
        7,
        bar_minutes=1.0,
        folder=tmp_path,
        progress=lambda done, total: resumed.append((done, total)),
    )
    assert repr(content(made)) == repr(content(small_encoder))
    # the LSTM was finished and the CNN had one look behind it: only what was missing was computed
    assert [done for done, _ in resumed] == [12, *range(17, 25), 24]
    assert {total for _, total in resumed} == {24}


def test_training_that_ended_early_is_over_when_it_is_asked_for_again(tmp_path):
    # from the second look on the rate is so large that nothing gets better
    hasty = cases.settings(kinds=("lstm",), epochs=8, patience=1, learning_rate=0.5)
    made = fit(cases.rows(), hasty, 7, bar_minutes=1.0, folder=tmp_path)
    assert made.card["kinds"]["lstm"]["steps"] < 8 * 4
    done = []
    again = fit(
        cases.rows(), hasty, 7, bar_minutes=1.0, folder=tmp_path, progress=lambda steps, total: done.append(steps)
    )
    assert repr(content(again)) == repr(content(made))
    assert done == [32]


def test_ctrl_c_stays_an_interruption_and_leaves_the_signal_alone(tmp_path):
    import signal

    before = signal.getsignal(signal.SIGINT)

    def press(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(cases.rows(), cases.settings(), 7, bar_minutes=1.0, progress=press)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_checkpoint_of_other_rows_or_settings_is_not_gone_on_with(tmp_path):
    only = cases.settings(kinds=("lstm",))
    fit(cases.rows(), only, 7, bar_minutes=1.0, folder=tmp_path)
    other = cases.rows(seed=1)
    resumed = fit(other, only, 7, bar_minutes=1.0, folder=tmp_path)
    assert resumed.version == fit(other, only, 7, bar_minutes=1.0).version
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_checkpoint_is_not_trusted(tmp_path):
    only = cases.settings(kinds=("lstm",))
    made = fit(cases.rows(), only, 7, bar_minutes=1.0, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    assert fit(cases.rows(), only, 7, bar_minutes=1.0, folder=tmp_path).version == made.version


def test_a_checkpoint_that_would_run_code_is_thrown_away(tmp_path):
    import torch

    only = cases.settings(kinds=("lstm",))
    made = fit(cases.rows(), only, 7, bar_minutes=1.0, folder=tmp_path)
    (path,) = tmp_path.iterdir()

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"state_dict": Evil()}, path)
    assert fit(cases.rows(), only, 7, bar_minutes=1.0, folder=tmp_path).version == made.version
    assert not (tmp_path / "owned").exists()


def test_training_says_nothing_and_leaves_nothing_behind(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    fit(cases.rows(), cases.settings(kinds=("cnn",)), 7, bar_minutes=1.0)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_training_gives_the_random_state_of_others_back():
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    fit(cases.rows(), cases.settings(kinds=("lstm",)), 7, bar_minutes=1.0)
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_logger_of_the_caller_hears_the_losses():
    from pytorch_lightning.loggers.logger import DummyLogger

    heard = []

    class Ear(DummyLogger):
        def log_metrics(self, metrics, step=None):
            heard.append(metrics)

    fit(cases.rows(), cases.settings(kinds=("lstm",)), 7, bar_minutes=1.0, logger=Ear())
    assert {key for metrics in heard for key in metrics} >= {"encoder/train_loss", "encoder/validation_loss"}


def test_no_kind_is_an_encoder_that_says_nothing():
    made = fit(cases.rows(), cases.settings(kinds=()), 7, bar_minutes=1.0)
    rows = cases.rows(100)
    assert len(made.initial_state()) == 0
    assert np.isnan(made.advance(made.initial_state(), rows.view, rows.depth, rows.vix)).all()


def test_one_kind_leaves_the_columns_of_the_other_empty():
    rows = cases.rows(200)
    made = fit(cases.rows(), cases.settings(kinds=("cnn",)), 7, bar_minutes=1.0)
    told = made.advance(made.initial_state(), rows.view, rows.depth, rows.vix)
    assert np.isnan(told[:, :24]).all()
    assert np.isfinite(told[100:, 24:]).all()


def test_no_book_is_refused_with_a_remedy():
    rows = cases.rows()
    rows.depth[:] = np.nan
    with pytest.raises(ConfigurationError, match="set encoder=lstm"):
        fit(rows, cases.settings(kinds=("cnn",)), 7, bar_minutes=1.0)


def test_rows_older_than_max_rows_do_not_matter():
    only = cases.settings(kinds=("lstm",), max_rows=600)
    rows = cases.rows()
    assert fit(rows, only, 7, bar_minutes=1.0).version == fit(rows.part(300, 900), only, 7, bar_minutes=1.0).version


def test_the_card_says_what_a_linear_model_would_have_done(small_encoder):
    linear = small_encoder.card["linear"]
    assert set(linear) == {"lstm_return", "lstm_volatility", "cnn_return"}
    for figures in linear.values():
        assert set(figures) == {"encoder", "row", "window", "rows", "beats_linear"}
        assert -1 <= figures["encoder"] <= 1


def lesson():
    rows, settings = cases.rows(), cases.settings()
    found = targets(rows, settings, 1.0)
    return view_lesson(rows, found, split(len(rows), settings, found.longest), settings), settings


def test_batches_hold_learning_rows_alone_and_depend_on_seed_and_epoch_alone():
    made, settings = lesson()
    first = learning_batches(made, settings, 3, 1)
    again = learning_batches(made, settings, 3, 1)
    other = learning_batches(made, settings, 3, 2)
    assert all(np.array_equal(a[name], b[name]) for a, b in zip(first, again, strict=True) for name in a)
    assert not np.array_equal(first[0]["x"], other[0]["x"])
    late = {tuple(row) for row in made.x[made.split.learn :]}
    seen = {tuple(np.abs(row)) for batch in first for row in batch["clean"].reshape(-1, 3)}
    assert not seen & {tuple(np.abs(row)) for row in np.array(sorted(late))}


def test_a_mirrored_sequence_swaps_up_and_down_and_keeps_size():
    made, settings = lesson()
    batch = learning_batches(made, settings, 3, 1)[0]
    turned = mirrored(made, batch, np.array([True, False, True, False]))
    np.testing.assert_array_equal(turned["returns"][0], -batch["returns"][0])
    np.testing.assert_array_equal(turned["returns"][1], batch["returns"][1])
    np.testing.assert_array_equal(turned["barrier"][2], 2 - batch["barrier"][2])
    np.testing.assert_array_equal(turned["x"][0], batch["x"][0] * [-1, -1, 1])
    np.testing.assert_array_equal(turned["volatility"][0], batch["volatility"][0])

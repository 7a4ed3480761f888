from dataclasses import replace

import numpy as np
import pytest

from mia.desk.tape import from_bars, ticks
from mia.domain.bars import Bars
from mia.domain.errors import DataError
from mia.domain.series import INDEX, WIDTH


def test_a_slice_shares_memory_and_keeps_every_column(make_tape):
    tape = make_tape(rows=50)
    part = tape.slice(10, 30)
    assert len(part) == 20
    assert np.array_equal(part.close, tape.close[10:30])
    assert np.array_equal(part.obs, tape.obs[10:30])
    assert np.shares_memory(part.obs, tape.obs)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (5, 51)])
def test_a_slice_outside_the_tape_is_refused(make_tape, start, stop):
    with pytest.raises(DataError, match="lie outside"):
        make_tape(rows=50).slice(start, stop)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("open", np.zeros(50), "open must be int64"),
        ("session", np.zeros(49, dtype=np.int64), "session has shape"),
        ("obs", np.zeros(50, dtype=np.float32), "obs has shape"),
        ("obs", np.full((50, 2), np.nan, dtype=np.float32), "must be finite"),
        ("belief", np.full((50, 3), np.inf), "must be finite"),
        ("ts", np.zeros(50, dtype=np.int64), "increase strictly"),
        ("session", np.arange(50, 0, -1), "must not go back"),
        ("high", np.zeros(50, dtype=np.int64), "outside its high and low"),
        ("obs", np.zeros((50, 4), dtype=np.float32)[:, ::2], "contiguous"),
    ],
)
def test_a_malformed_column_is_refused_by_name(make_tape, field, value, message):
    with pytest.raises(DataError, match=message):
        replace(make_tape(rows=50), **{field: value})


def test_bars_become_a_tape_of_whole_ticks(es):
    values = np.full((3, WIDTH), np.nan)
    for name, column in (
        ("open", [10, 11, 12]),
        ("high", [14, 14, 14]),
        ("low", [9, 9, 9]),
        ("close", [11, 12, 13]),
    ):
        values[:, INDEX[f"bar.{name}"]] = column
    values[:, INDEX["cal.session"]] = [4, 4, 5]
    stamps = np.array([1, 2, 3], dtype=np.int64)
    bars = Bars(market="ES", bar_minutes=1, ts=stamps, available_at=stamps, values=values)
    tape = from_bars(
        es, bars, must_flat=[0, 0, 1], may_enter=[1, 1, 1], obs=np.zeros((3, 2)), belief=np.ones((3, 3)) / 3
    )
    assert tape.close.dtype == np.int64
    assert tape.close.tolist() == [11, 12, 13]
    assert tape.session.tolist() == [4, 4, 5]
    assert tape.must_flat.tolist() == [False, False, True]


@pytest.mark.parametrize("bad", [10.5, np.nan])
def test_a_price_between_ticks_or_missing_is_refused_with_its_row(bad):
    with pytest.raises(DataError, match="row 1 holds"):
        ticks(np.array([10.0, bad]), "bars ES open")


def test_rows_left_out_leave_a_seam_that_later_cuts_remember(make_tape):
    tape = make_tape(rows=50)
    taken = tape.take(np.array([*range(5, 15), *range(20, 30), *range(30, 40)]))
    assert taken.seams == (10,)  # rows 29 and 30 do follow one another
    assert np.array_equal(taken.close, np.concatenate([tape.close[5:15], tape.close[20:40]]))
    assert np.flatnonzero(~taken.followed).tolist() == [9, 29]
    assert taken.slice(4, 30).seams == (6,)
    assert taken.slice(10, 30).seams == ()  # a piece of its own begins at the seam
    assert taken.take(np.arange(0, 30, 2)).seams == tuple(range(1, 15))
    assert taken.take(np.arange(30)).seams == (10,)


@pytest.mark.parametrize("rows", [[], [3, 2], [4, 4], [-1, 3], [3, 50]])
def test_rows_to_take_must_ascend_inside_the_tape(make_tape, rows):
    with pytest.raises(DataError, match="must ascend within its 50 rows"):
        make_tape(rows=50).take(np.array(rows, dtype=np.int64))


@pytest.mark.parametrize("seams", [(0,), (50,), (7, 7)])
def test_seams_outside_the_tape_or_out_of_order_are_refused(make_tape, seams):
    with pytest.raises(DataError, match="seams must be rows after the first"):
        replace(make_tape(rows=50), seams=seams)

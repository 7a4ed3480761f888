import numpy as np
import pytest

from mia.desk import accounting as acc
from mia.desk.backtest import run_policy, run_targets
from mia.domain.errors import DataError
from mia.domain.rng import generator
from mia.risk.limits import Limits, unlimited


class Threshold:
    """Wishes long, flat or short by the first column, reluctant to change: depends on the position."""

    def decide(self, obs, position):
        return float(np.clip(np.rint(obs[0] + 0.5 * position), -1, 1))


class ThresholdTable(Threshold):
    def table(self, obs, positions):
        return np.array([[self.decide(row, p) for p in positions] for row in obs])


def test_a_position_shows_from_the_bar_at_whose_open_it_was_filled(make_tape, es_terms):
    tape = make_tape(open=[100, 101, 102, 103], close=[100, 101, 105, 104])
    track = run_targets(tape, np.array([0, 1, 1, 0]), es_terms, close_at_end=False)
    assert track.position.tolist() == [0, 0, 1, 1]
    assert track.equity_cents.tolist() == [0, 0, 3 * 1250 - 1475, 2 * 1250 - 1475]
    assert track.gross_cents.tolist() == [0, 0, 3750, 2500]
    assert track.cost_cents.tolist() == [0, 0, 1475, 1475]


def test_what_is_held_at_the_end_is_closed_at_the_last_close_for_one_side(make_tape, es_terms):
    tape = make_tape(open=[100, 101, 102], close=[100, 101, 105])
    track = run_targets(tape, np.array([1, 1, 1]), es_terms)
    assert track.gross_cents[-1] == 4 * 1250
    assert track.cost_cents[-1] == 2 * 1475
    assert track.position.tolist() == [0, 1, 1]
    assert track.account[acc.POSITION] == 0
    closing = track.fills()[-1]
    assert (closing["row"], closing["price_ticks"], closing["side"], closing["cost_cents"]) == (
        2,
        105,
        -1,
        1475,
    )


def test_the_last_rows_wish_never_fills(make_tape, es_terms):
    tape = make_tape(rows=5)
    track = run_targets(tape, np.array([0, 0, 0, 0, 1]), es_terms)
    assert not track.position.any()
    assert len(track.fills()) == 0


def test_fills_name_row_price_side_size_and_cost(make_tape, es_terms):
    tape = make_tape(open=[100, 101, 102, 103, 104], close=[100, 101, 105, 104, 104])
    track = run_targets(tape, np.array([1, 1, -2, 0, 0]), es_terms)
    fills = track.fills()
    assert fills["row"].tolist() == [1, 3, 4]
    assert fills["ts"].tolist() == tape.ts[[1, 3, 4]].tolist()
    assert fills["price_ticks"].tolist() == [101, 103, 104]
    assert fills["side"].tolist() == [1, -1, 1]
    assert fills["contracts"].tolist() == [1, 3, 2]
    assert fills["cost_cents"].tolist() == [1475, 4425, 2950]


def test_a_policy_asked_row_by_row_and_by_table_leaves_the_same_track(make_tape, es_terms):
    rng = generator(3, "test")
    tape = make_tape(rows=3000, must_flat=np.arange(3000) % 100 >= 95, may_enter=rng.random(3000) < 0.9)
    for most in (1, 3):
        limits = Limits(
            max_contracts=most,
            account_cents=2_000_000,
            margin_cents=500_000,
            max_daily_loss_cents=60_000,
            max_drawdown_cents=0,
        )
        slow = run_policy(tape, Threshold(), es_terms, limits)
        fast = run_policy(tape, ThresholdTable(), es_terms, limits)
        assert np.count_nonzero(slow.position) > 100
        for name in ("equity_cents", "gross_cents", "cost_cents", "position", "flags"):
            assert np.array_equal(getattr(slow, name), getattr(fast, name)), name


def test_a_policy_is_told_its_position_as_a_share_of_the_limit(make_tape, es_terms):
    told = []

    class Recorder:
        def decide(self, obs, position):
            told.append(position)
            return 0.5

    run_policy(make_tape(rows=4), Recorder(), es_terms, unlimited(2))
    assert told == [0.0, 0.5, 0.5]


def test_flags_tell_at_which_rows_rules_changed_the_wish(make_tape, es_terms):
    tape = make_tape(rows=6, must_flat=np.array([0, 0, 0, 1, 0, 0], dtype=bool))
    track = run_targets(tape, np.array([5, 1, 1, 1, 1, 1]), es_terms, unlimited(1))
    assert track.flags.tolist() == [acc.LIMITED, 0, 0, acc.FLAT_RULE, 0, 0]
    assert track.position.tolist() == [0, 1, 1, 1, 0, 1]


def test_a_position_carried_over_a_cut_session_is_counted(make_tape, es_terms):
    tape = make_tape(rows=20, per_session=10)
    track = run_targets(tape, np.ones(20, dtype=np.int64), es_terms)
    assert track.account[acc.OVERNIGHT] == 1


@pytest.mark.parametrize("targets", [np.zeros(4, dtype=np.int64), np.zeros(5), np.zeros((5, 1), dtype=np.int64)])
def test_targets_that_are_not_one_whole_number_per_row_are_refused(make_tape, es_terms, targets):
    with pytest.raises(DataError, match="targets must be"):
        run_targets(make_tape(rows=5), targets, es_terms)


def test_a_table_of_the_wrong_shape_is_refused(make_tape, es_terms):
    class Wrong(Threshold):
        def table(self, obs, positions):
            return np.zeros((len(obs), 1))

    with pytest.raises(DataError, match="table must be"):
        run_policy(make_tape(rows=5), Wrong(), es_terms, unlimited(1))


def test_a_single_row_has_a_track_of_zeros(make_tape, es_terms):
    track = run_targets(make_tape(rows=1), np.array([1]), es_terms)
    assert track.equity_cents.tolist() == [0]


def test_rows_with_a_seam_are_not_walked_as_if_they_were_whole(make_tape, es_terms):
    pieces = make_tape(rows=100).take(np.r_[0:40, 60:100])
    with pytest.raises(DataError, match="rows are missing before row 40"):
        run_targets(pieces, np.ones(80, np.int64), es_terms)

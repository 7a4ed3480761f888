from dataclasses import replace

import numpy as np
import pytest

from mia.domain.errors import DataError
from mia.reward.context import CONTEXT


def known(rows):
    out = np.arange(rows * len(CONTEXT), dtype=np.float64).reshape(rows, -1)
    out[::3, 1] = np.nan
    return out


def test_a_tape_knows_nothing_for_rewards_unless_told(make_tape):
    assert make_tape(rows=50).context is None
    assert make_tape(rows=50).slice(10, 20).context is None


def test_a_slice_keeps_the_context_of_its_rows_and_shares_memory(make_tape):
    tape = make_tape(rows=50, context=known(50))
    part = tape.slice(10, 30)
    assert part.context.tobytes() == known(50)[10:30].tobytes()
    assert np.shares_memory(part.context, tape.context)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (np.zeros((49, len(CONTEXT))), "context must be"),
        (np.zeros((50, len(CONTEXT) - 1)), "context must be"),
        (np.zeros((50, len(CONTEXT)), dtype=np.float32), "float32"),
        (np.full((50, len(CONTEXT)), np.inf), "infinite"),
    ],
)
def test_a_context_of_another_shape_or_kind_is_refused(make_tape, context, message):
    with pytest.raises(DataError, match=message):
        replace(make_tape(rows=50), context=context)

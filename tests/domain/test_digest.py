"""Fingerprints do not depend on how the content came, and change with any of it."""

from itertools import pairwise

import numpy as np
import pytest

from mia.domain import digest
from mia.domain.rng import generator


def columns(rows=300):
    rng = generator(0, "test", "digest")
    return {"ts": np.arange(rows, dtype=np.int64), "values": rng.standard_normal((rows, 7))}


def running(parts, edges):
    found = digest.Running("ts", "values")
    for start, stop in pairwise(edges):
        found.add(**{name: part[start:stop] for name, part in parts.items()})
    return found.hexdigest()


@pytest.mark.parametrize("edges", [[0, 1, 2, 300], [0, 0, 150, 150, 300], [*range(301)], [0, 299, 300]])
def test_any_way_of_cutting_the_same_rows_gives_the_same_fingerprint(edges):
    assert running(columns(), edges) == running(columns(), [0, 300])


def test_memory_order_does_not_matter_but_every_bit_does():
    plain = columns()
    assert running({**plain, "values": np.asfortranarray(plain["values"])}, [0, 300]) == running(plain, [0, 300])
    seen = {running(plain, [0, 300])}
    for name, row in (("ts", 0), ("values", 299)):
        changed = {key: part.copy() for key, part in plain.items()}
        flat = changed[name][row : row + 1].view(np.int64)
        flat ^= 1  # the last bit of a number
        seen.add(running(changed, [0, 300]))
    assert len(seen) == 3


def test_rows_that_moved_from_one_column_to_another_are_noticed():
    one, other = digest.Running("a", "b"), digest.Running("a", "b")
    one.add(a=np.array([1.0, 2.0]), b=np.array([3.0]))
    other.add(a=np.array([1.0]), b=np.array([2.0, 3.0]))
    assert one.hexdigest() != other.hexdigest()


def test_asking_in_between_does_not_change_the_end():
    parts, found = columns(), digest.Running("ts", "values")
    seen = set()
    for row in range(0, 300, 100):
        found.add(**{name: part[row : row + 100] for name, part in parts.items()})
        seen.add(found.hexdigest())
    assert len(seen) == 3
    assert found.hexdigest() == running(parts, [0, 300])


def test_arrays_of_other_shape_or_type_have_another_fingerprint():
    a = np.arange(6, dtype=np.int64)
    assert len({digest.of_arrays(x) for x in (a, a.reshape(2, 3), a.reshape(3, 2), a.astype(np.int32))}) == 4

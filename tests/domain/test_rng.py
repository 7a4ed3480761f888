"""Streams of randomness belong to names."""

from mia.domain.rng import generator


def test_same_seed_and_name_give_the_same_stream():
    assert generator(3, "a", "b").integers(1 << 60) == generator(3, "a", "b").integers(1 << 60)


def test_other_names_and_seeds_give_other_streams():
    draws = {generator(s, *n).integers(1 << 60) for s, n in [(3, ("a",)), (3, ("b",)), (4, ("a",)), (3, ("ab",))]}
    draws.add(generator(3).integers(1 << 60))
    assert len(set(map(int, draws))) == 5

import numpy as np
import pytest

from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.env.episodes import Episodes


def test_an_episode_covers_whole_sessions_and_every_one_is_offered(make_tape):
    spans = Episodes(make_tape(rows=450, per_session=100), 2)
    assert spans.starts.tolist() == [0, 100, 200, 300]
    assert spans.stops.tolist() == [200, 300, 400, 450]


def test_without_a_length_the_episode_is_the_tape(make_tape):
    spans = Episodes(make_tape(rows=450), None)
    assert (spans.starts.tolist(), spans.stops.tolist()) == ([0], [450])


def test_a_session_of_one_row_is_no_episode(make_tape):
    spans = Episodes(make_tape(rows=5, session=np.array([0, 0, 1, 2, 2])), 1)
    assert spans.starts.tolist() == [0, 3]


def test_every_episode_is_drawn_about_as_often(make_tape):
    spans = Episodes(make_tape(rows=400, per_session=100), 1)
    rng = generator(0, "test")
    counts = np.bincount([spans.draw(rng) for _ in range(4000)], minlength=4)
    assert counts.min() > 850


@pytest.mark.parametrize("sessions", [0, 5])
def test_an_episode_longer_than_the_tape_or_empty_is_refused(make_tape, sessions):
    with pytest.raises(ConfigurationError, match="do not fit"):
        Episodes(make_tape(rows=400, per_session=100), sessions)


def test_a_tape_of_one_row_has_no_episode(make_tape):
    with pytest.raises(ConfigurationError, match="no episode"):
        Episodes(make_tape(rows=1), None)


def test_no_episode_crosses_a_seam(make_tape):
    rows = np.concatenate([np.arange(0, 300), np.arange(500, 800)])  # sessions 0, 1, 2 and 5, 6, 7
    pieces = make_tape(rows=800, per_session=100).take(rows)
    assert Episodes(pieces, 1).starts.tolist() == [0, 100, 200, 300, 400, 500]
    spans = Episodes(pieces, 2)
    assert list(zip(spans.starts, spans.stops, strict=True)) == [(0, 200), (100, 300), (300, 500), (400, 600)]
    whole = Episodes(pieces, None)
    assert list(zip(whole.starts, whole.stops, strict=True)) == [(0, 300), (300, 600)]
    with pytest.raises(ConfigurationError, match="shorten the episodes"):
        Episodes(pieces, 4)

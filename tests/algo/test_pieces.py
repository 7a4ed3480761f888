"""A tape of pieces teaches each piece and nothing of the gap between them, whatever learns."""

from dataclasses import replace

import numpy as np
import pytest

from mia.algo import LEARNERS, learner
from mia.algo.settings.effort import shortened

EFFORT = 0.03


@pytest.fixture(scope="module")
def pieces(tape):
    """9000 rows whose middle third was left out, cut where sessions end."""
    firsts = np.flatnonzero(np.diff(tape.session[:9000])) + 1
    begin, end = firsts[len(firsts) // 3], firsts[2 * len(firsts) // 3]
    return tape.take(np.concatenate([np.arange(0, begin), np.arange(end, 9000)]))


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_prices_may_leap_over_a_seam_and_nothing_else_is_learned(name, algo, pieces, terms):
    settings = shortened(algo(name), EFFORT)
    (seam,) = pieces.seams
    leap = np.where(np.arange(len(pieces)) < seam, 0, 5000)
    leaping = replace(pieces, **{key: getattr(pieces, key) + leap for key in ("open", "high", "low", "close")})
    learned = [learner(settings.kind)(rows, terms, settings, 7) for rows in (pieces, leaping)]
    assert learned[0].digest == learned[1].digest
    assert [policy.abstains for policy in learned] == [learned[0].abstains] * 2
    # Without the seam the leap is a bar's gain like any other.
    if name == "qr_dqn":
        whole = learner(settings.kind)(replace(leaping, seams=()), terms, settings, 7)
        assert whole.digest != learned[0].digest

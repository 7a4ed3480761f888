"""The betting test keeps its level however long it is watched, and finds what is there."""

import numpy as np
import pytest

from mia.domain.rng import generator
from mia.evaluation.sequential import BETS, BettingTest, spent


def rejections(draw, paths=300, windows=300, alpha=0.05, bound=4.0):
    """Window of the first rejection of each path, 0 for never."""
    found = []
    for path in range(paths):
        test, hit = BettingTest(alpha), 0
        for at, difference in enumerate(draw(generator(path, "sequential"), windows)):
            if test.update(difference, bound):
                hit = at + 1
                break
        found.append(hit)
    return np.array(found)


NULLS = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "heavy tails": lambda rng, n: rng.standard_t(3, n) / 3**0.5,
    "pennies before the crash": lambda rng, n: np.where(rng.random(n) < 0.02, -4.0, 0.08 / 0.98),
    "lottery": lambda rng, n: np.where(rng.random(n) < 0.02, 4.0, -0.08 / 0.98),
    "worse and worse": lambda rng, n: rng.standard_normal(n) - 0.1,
    "clustered": lambda rng, n: rng.standard_normal(n) * np.exp(np.sin(np.arange(n) / 20.0)) / 2,
}


@pytest.mark.parametrize("name", NULLS)
def test_a_fair_game_is_rejected_no_more_often_than_alpha_however_long_it_is_watched(name):
    share = (rejections(NULLS[name]) > 0).mean()
    assert share <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


@pytest.mark.parametrize(("lead", "windows"), [(0.3, 250), (0.5, 150), (1.0, 80)])
def test_a_planted_lead_is_found_in_time(lead, windows):
    found = rejections(lambda rng, n: lead + rng.standard_normal(n), paths=60)
    assert (found > 0).mean() > 0.95
    assert np.median(found[found > 0]) < windows


def test_what_was_lost_before_a_change_does_not_hide_a_lead_after_it():
    def turned(rng, n):
        return np.concatenate([rng.standard_normal(100) - 1.0, rng.standard_normal(n - 100) + 1.0])

    found = rejections(turned, paths=40)
    assert (found > 100).all()
    assert np.median(found) < 200

    # Without further starts the bets would still have to win back what they lost.
    before = np.minimum(turned(generator(0, "sequential"), 300)[: found[0]] / 4.0, 1.0)
    first = np.prod(np.maximum(0.0, 1.0 + BETS[:, None] * before), axis=1)
    assert first.mean() < 1.0


def test_evidence_is_the_sum_over_starts_and_bets_worked_out_one_by_one():
    differences, bound = generator(3, "sequential").standard_normal(12), 2.0
    test = BettingTest(0.05)
    for difference in differences:
        test.update(difference, bound)
    expected = 1.0 / 13.0  # what is not in the game yet
    for start in range(12):
        part = np.minimum(differences[start:] / bound, 1.0)
        for bet in BETS:
            expected += np.prod(np.maximum(0.0, 1.0 + bet * part)) / ((start + 1) * (start + 2)) / len(BETS)
    assert test.evidence == pytest.approx(expected, rel=1e-12)


def test_one_lucky_window_promotes_nobody_and_one_crash_costs_no_more_than_all():
    test = BettingTest(0.05)
    assert not test.update(1e9, 1.0)
    assert test.evidence < 2
    test.update(-1e9, 1.0)
    assert test.evidence == pytest.approx(1.0 / 3.0)


def test_test_goes_on_from_its_state_bit_for_bit():
    differences = generator(4, "sequential").standard_normal(50)
    whole, half = BettingTest(0.1), BettingTest(0.1)
    for difference in differences[:25]:
        whole.update(difference, 3.0)
        half.update(difference, 3.0)
    half = BettingTest.restored(half.state())
    for difference in differences[25:]:
        whole.update(difference, 3.0)
        half.update(difference, 3.0)
    assert half.evidence == whole.evidence


def test_levels_of_a_series_of_tests_sum_to_alpha():
    assert sum(spent(0.05, number) for number in range(1, 100_000)) == pytest.approx(0.05, rel=1e-4)

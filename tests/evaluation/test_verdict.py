"""The sentence says what the figures allow, no more."""

from dataclasses import replace

import pytest
from test_walk_forward import SETTINGS

from mia.evaluation.compare import Comparison
from mia.evaluation.verdict import judge

FIGURES = {"net_usd": -312.4, "trades": 40, "sharpe_ci": [-3.1, 1.2], "years_needed": 7.43}
GOOD = {"net_usd": 9000.0, "trades": 400, "sharpe_ci": [0.8, 3.9], "years_needed": 0.7}
BETTER = Comparison(baseline="sma_cross", difference_usd=4000.0, p_value=0.004)


def say(figures=FIGURES, sessions=21, trials=1, dsr=0.4, comparison=BETTER, settings=SETTINGS, **changed):
    return judge(
        {**figures, **changed},
        sessions=sessions,
        trials=trials,
        dsr=dsr,
        comparison=comparison,
        settings=settings,
    )


def test_interval_around_zero_is_called_luck_with_the_years_needed():
    verdict = say()
    assert verdict.code == "luck"
    assert verdict.sentence == (
        "After costs the policy made -$312 in 21 sessions; its Sharpe interval [-3.1, 1.2] contains zero: "
        "this cannot be told from luck (1 trial; about 7.4 years of data would be needed)."
    )


def test_policy_that_stayed_out_has_nothing_to_tell_from_luck():
    verdict = say(net_usd=0.0, trades=0, sharpe_ci=[0.0, 0.0], years_needed=None)
    assert verdict.code == "luck"
    assert verdict.sentence == (
        "The policy stayed out of the market in all 21 sessions: nothing to tell from luck (1 trial)."
    )


def test_policy_that_almost_never_trades_is_luck_whatever_it_made():
    verdict = say(GOOD, trades=4, dsr=0.99)
    assert verdict.code == "luck"
    assert "only 4 sides" in verdict.sentence
    assert "luck" in verdict.sentence


def test_interval_below_zero_is_a_loss():
    verdict = say(sharpe_ci=[-5.0, -0.4], trials=3)
    assert verdict.code == "loss"
    assert "lies below zero: this is a loss, not bad luck (3 trials)" in verdict.sentence


def test_good_interval_is_still_luck_when_so_many_trials_explain_it():
    verdict = say(GOOD, trials=45, dsr=0.81)
    assert verdict.code == "luck"
    assert "with 45 trials the deflated Sharpe ratio is 0.81, not above 0.95" in verdict.sentence


@pytest.mark.parametrize("comparison", [replace(BETTER, p_value=0.3), replace(BETTER, difference_usd=-1.0)])
def test_good_interval_is_still_luck_when_a_simple_rule_does_as_well(comparison):
    verdict = say(GOOD, dsr=0.99, comparison=comparison)
    assert verdict.code == "luck"
    assert "lead over sma cross" in verdict.sentence


def test_only_a_result_that_clears_every_hurdle_is_skill():
    verdict = say(GOOD, dsr=0.98, trials=2)
    assert verdict.code == "skill"
    assert "made $9,000" in verdict.sentence
    assert "beats sma cross (p = 0.004)" in verdict.sentence


@pytest.mark.parametrize(
    ("years", "words"),
    [(None, "no amount of data"), (250.0, "more than a hundred years"), (3.0, "about 3.0 years")],
)
def test_years_needed_are_put_in_words(years, words):
    assert words in say(years_needed=years).sentence


def test_sentence_is_one_line_and_counts_in_singular():
    verdict = say(sessions=1)
    assert "in 1 session;" in verdict.sentence
    assert "\n" not in verdict.sentence


@pytest.mark.parametrize(("usd", "words"), [(-0.3, "made $0 "), (-12345.6, "made -$12,346 "), (0.6, "made $1 ")])
def test_money_is_whole_dollars_with_the_sign_before(usd, words):
    assert words in say(net_usd=usd).sentence

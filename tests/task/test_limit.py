"""What a learner under a limit tells is that of the checkpoint chosen; why a policy stays flat is told apart."""

from types import SimpleNamespace

import pytest

from mia.task import limit


def look(step, cvar, **told):
    return {
        "step": float(step),
        "cvar_loss": cvar,
        "cvar_low": cvar - 1,
        "cvar_high": cvar + 1,
        "cvar_limit": 10.0,
        "cvar_unseen": cvar + 0.5,
        "violation_rate": 0.04,
        "violation_rate_exploring": 0.06,
        "worst_episode": 3 * cvar,
        "multiplier": cvar / 100,
        **told,
    }


def card(breach, selected=200):
    return {
        "breach": breach,
        "selected_step": selected,
        "settings": {
            "constraint": {"measure": "loss", "alpha": 0.95, "unit": "usd", "tolerance": 0.1, "confidence": 0.9}
        },
        "curve": [look(100, 14.0), look(200, 9.5), look(300, 20.0)],
        "episodes": {"seen": 90, "unseen": 10},
        "episodes_are_scarce": False,
        "trace": {
            "step": [50, 150, 250],
            "multiplier": [0.0, 0.2, 0.1],
            "cvar": [15.0, 12.0, 9.0],
            "cvar_bound": [16.0, 13.0, 10.0],
        },
    }


def test_what_is_told_is_of_the_checkpoint_chosen_not_of_the_last():
    found = limit.constraint(card(breach=-0.02))
    assert (found["cvar"], found["cvar_low"], found["cvar_high"], found["cvar_unseen"]) == (9.5, 8.5, 10.5, 10.0)
    assert (found["limit"], found["allowed"], found["kept"]) == (10.0, pytest.approx(11.0), True)
    assert (found["measure"], found["alpha"], found["unit"]) == ("loss", 0.95, "usd")
    assert (found["violation_rate"], found["worst_episode"]) == (0.04, 28.5)
    assert found["trace"]["multiplier"] == [0.0, 0.2, 0.1]


def test_a_limit_is_broken_if_the_learner_measured_so():
    # The interval of all episodes would keep it; the unseen ones alone may still belie that.
    assert limit.constraint(card(breach=0.3))["kept"] is False


def test_a_learner_without_a_limit_tells_nothing():
    assert limit.constraint({"breach": None, "curve": []}) is None
    assert limit.constraint({}) is None  # a bundle of an ensemble, or one made before breaches were kept


def test_looks_and_measurements_stand_in_the_order_of_steps():
    rows = limit.looks(card(breach=0.0))
    assert [row["step"] for row in rows] == [50, 100, 150, 200, 250, 300]
    assert [row["multiplier"] for row in rows] == [0.0, None, 0.2, None, 0.1, None]
    assert [row["cvar_loss"] for row in rows] == [None, 14.0, None, 9.5, None, 20.0]


def test_why_a_policy_stays_flat_is_read_off_its_card():
    def policy(abstains, **told):
        return SimpleNamespace(abstains=abstains, card=told)

    assert limit.why_flat(policy(False, abstains_because=None)) is None
    assert limit.why_flat(policy(True, abstains_because="limit")) == "limit"
    assert limit.why_flat(policy(True, abstains_because="luck")) == "luck"
    assert limit.why_flat(policy(True)) == "luck"  # an ensemble's vote knows no limit


def test_the_note_says_what_is_limited_in_words():
    note = limit.note(limit.constraint(card(breach=0.0)))
    assert "mean loss of the worst 5.0 % of the episodes" in note
    assert "US dollars" in note
    assert "90.0 % interval is at most 1.1 times" in note

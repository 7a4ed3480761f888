"""What a selection leaves behind, and what is used when it fails."""

import json
from dataclasses import replace

import numpy as np
import pytest
from shap_cases import SETTINGS, case, choose

from mia.domain import digest
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.features.shap_weighting import Selection, agreement, catalogue_digest, chosen, ranking, static

SPECS = case(rows=300)[3]


@pytest.fixture(scope="module")
def found():
    return choose(
        belief=generator(1, "belief").dirichlet([0.3] * 3, 5000),
        fitted_on=("2025-01-06", "2025-02-01"),
        data_digest="d1",
        encoder_version="e1",
        scaler_fingerprint="s1",
    )


def test_json_round_trip_is_exact_and_holds_what_it_was_made_from(found):
    read = Selection.from_json(found.to_json())
    assert read == found
    assert read.to_json() == found.to_json()
    body = json.loads(found.to_json())
    assert Selection.from_json(json.dumps(body, sort_keys=True)) == found  # as a bundle stores it
    assert body["fingerprint"] == found.fingerprint == digest.of_json(list(found.names))
    assert (body["data_digest"], body["encoder_version"], body["scaler_fingerprint"]) == ("d1", "e1", "s1")
    assert body["catalogue_digest"] == catalogue_digest(SPECS)
    assert body["settings"]["trees"] == SETTINGS.trees
    assert set(body["regime_importance"]) == {"trend", "range", "defensive"}
    order = read.columns([spec.name for spec in SPECS])
    assert [SPECS[i].name for i in order] == list(found.names)


def test_order_matters_to_the_fingerprint_and_another_list_is_refused(found):
    turned = replace(found, names=found.names[::-1])
    assert turned.fingerprint != found.fingerprint
    found.check(list(found.names))
    with pytest.raises(ArtefactMismatch, match="column 0 must be"):
        found.check(turned.names)
    with pytest.raises(ArtefactMismatch, match="was nothing"):
        found.check(found.names[:-1])
    with pytest.raises(ArtefactMismatch, match="must be nothing, was more"):
        found.check((*found.names, "more"))
    with pytest.raises(ArtefactMismatch, match="not computed"):
        found.columns(["f1", "f2"])


def test_altered_or_unreadable_artefacts_are_refused(found):
    for key, value in (("names", list(found.names[::-1])), ("n_significant", 99), ("catalogue_digest", "other")):
        body = json.loads(found.to_json())
        body[key] = value
        with pytest.raises(ArtefactMismatch, match="altered"):
            Selection.from_json(json.dumps(body))
    forged = json.loads(found.to_json())
    forged["names"] = forged["names"][::-1]
    del forged["sha256"]
    forged["sha256"] = digest.of_json(forged)  # its own hash fits, but the list's does not
    with pytest.raises(ArtefactMismatch, match="altered"):
        Selection.from_json(json.dumps(forged))
    for text in ("", "[]", "{}", '{"sha256": 1, "names": []}', found.to_json().replace('"pi": {', '"pie": {')):
        with pytest.raises(ArtefactMismatch, match="select again"):
            Selection.from_json(text)


def test_artefact_of_wrong_types_is_refused_even_if_its_hashes_fit(found):
    for key, value in (("n_significant", "many"), ("pi", []), ("method", "guess"), ("names", ["f1", "f1"])):
        body = json.loads(found.to_json())
        del body["sha256"]
        body[key] = value
        body["sha256"] = digest.of_json(body)
        with pytest.raises(ArtefactMismatch, match="not readable"):
            Selection.from_json(json.dumps(body))


def test_catalogue_digest_changes_with_any_definition_and_with_the_order():
    other = [*SPECS[:-1], replace(SPECS[-1], fallback=not SPECS[-1].fallback)]
    assert len({catalogue_digest(SPECS), catalogue_digest(other), catalogue_digest(SPECS[::-1])}) == 3


def test_member_gives_way_only_to_a_newcomer_that_is_clearly_more_stable():
    order = ["m", "a", "b", "c", "d", "e"]
    pi = {"a": 0.9, "b": 0.8, "c": 0.75, "d": 0.7, "e": 0.65}
    plain, held = ranking.fill(order, {"m"}, 4)
    assert (plain, held) == (("m", "a", "b", "c"), {})
    # a is far better than e and takes its place; c is not clearly better than d.
    kept, held = ranking.fill(order, {"m"}, 4, previous=("b", "d", "e"), pi=pi, margin=0.1)
    assert kept == ("m", "a", "b", "d")
    assert held == {"d": "c"}
    kept, held = ranking.fill(order, {"m"}, 4, previous=("b", "d", "e"), pi=pi, margin=0.0)
    assert (kept, held) == (("m", "a", "b", "c"), {})
    # A place nobody holds is free to the best, without a margin.
    kept, _ = ranking.fill(order, {"m"}, 4, previous=("e", "gone"), pi=pi, margin=1.0)
    assert kept == ("m", "a", "b", "e")


def test_previous_list_holds_its_places_in_a_new_fold_and_a_list_of_another_catalogue_does_not(found):
    stubborn = replace(SETTINGS, hysteresis=1.0)
    worst = tuple(sorted(found.pi, key=lambda name: (found.pi[name], found.shap[name]))[:6])
    before = replace(found, names=(*found.mandatory, *(name for name in worst if name not in found.mandatory))[:8])
    again = choose(stubborn, previous=before)
    assert set(again.names) >= set(before.names)
    assert set(again.held) <= set(before.names)
    assert again.held
    assert f"{len(again.held)} stay" in again.note
    other = choose(stubborn, previous=replace(before, catalogue_digest="other"))
    assert other.names == found.names
    assert "another catalogue" in other.note
    assert choose(previous=found).names == found.names


def test_static_list_is_used_and_said_when_there_is_too_little_data():
    chosen_list = choose(stop=500, made=case(rows=600))
    assert (chosen_list.method, chosen_list.origin) == ("fallback", "static")
    assert "because 2 sessions are too few" in chosen_list.note
    assert {"f10", "f20"} <= set(chosen_list.names)
    assert len(chosen_list.names) == 8
    assert all(int(name[1:]) % 2 == 0 for name in chosen_list.names)
    wide = replace(SETTINGS, embargo_bars=1900)
    assert "purging leaves" in choose(wide).note
    assert choose(replace(SETTINGS, horizons=(249,))).origin == "static"
    view, close, session, specs = case()
    assert "no column is available" in choose(made=(view * 0, close, session, specs)).note


def test_when_nothing_beats_chance_the_static_list_is_used_if_so_wished():
    made = (generator(1, "noise").standard_normal((5000, 24)), *case(signal=0.0)[1:])
    settings = replace(SETTINGS, shadows=40, shadow_share=1.0)
    assert choose(settings, made=made).method == "shap"
    assert choose(settings, made=made).n_significant == 0
    strict = choose(replace(settings, require_significant=True), made=made)
    assert strict.method == "fallback"
    assert "none of 24 columns beat the shadows" in strict.note
    assert choose(replace(SETTINGS, require_significant=True)).method == "shap"


def test_the_folds_own_list_is_used_without_a_word(found):
    assert chosen(found, None, SPECS) == (found, "fold", "")


def test_a_failed_fold_uses_the_last_valid_list_and_says_so(found):
    failed = choose(stop=500, made=case(rows=600))
    for artefact, why in (
        (failed, "2 sessions are too few"),
        (None, "there is no artefact"),
        (replace(found, catalogue_digest="other"), "another catalogue"),
    ):
        used, origin, message = chosen(artefact, found, SPECS)
        assert (used.names, used.origin, origin) == (found.names, "last_valid", "last_valid")
        assert why in message
        assert "2025-02-01" in message
        assert used.note == message
        assert Selection.from_json(used.to_json()) == used
    assert "cannot be read" in chosen(None, found, SPECS, problem="the artefact cannot be read")[2]


def test_without_any_valid_list_the_static_one_is_used_and_said(found):
    stranger = replace(found, catalogue_digest="other")
    failed = choose(stop=500, made=case(rows=600))
    for artefact, last in ((None, None), (stranger, stranger), (None, failed), (failed, None)):
        used, origin, message = chosen(artefact, last, SPECS)
        assert (used.method, used.origin, origin) == ("fallback", "static", "static")
        assert message.startswith("selection: static list of")
    assert chosen(failed, None, SPECS)[0].names == failed.names
    assert set(static(SPECS, "asked").names) == {s.name for s in SPECS if s.mandatory or s.fallback}


def lists(found, *names):
    return [replace(found, names=(*found.mandatory, *part)) for part in names]


def test_agreement_is_that_of_the_free_choice_beyond_chance(found):
    free = [name for name in found.pi if name not in found.mandatory]
    assert len(free) == 22
    same = agreement(lists(found, free[:6], free[:6][::-1]))
    assert (same.jaccard, same.kuncheva, same.warning) == (1.0, 1.0, "")
    half = agreement(lists(found, free[:6], free[3:9]))
    assert half.jaccard == pytest.approx(3 / 9)
    assert half.kuncheva == pytest.approx((3 * 22 - 36) / (6 * (22 - 6)))  # Kuncheva's own formula
    assert "noise" in half.warning
    assert agreement(lists(found, free, free)).kuncheva == 1.0
    assert len(agreement(lists(found, free[:6], free[3:9], free[6:12])).pairs) == 3
    assert agreement([found]).warning == ""
    # Inertia must not pass for agreement: what counts is what each fold would have chosen by itself.
    inert = lists(found, free[:6], free[:6])
    inert[1] = replace(inert[1], held=dict(zip(free[:3], free[6:9], strict=True)))
    assert agreement(inert).jaccard == pytest.approx(3 / 9)


def test_lists_by_lot_agree_no_more_than_chance(found):
    free = np.array([name for name in found.pi if name not in found.mandatory])
    rng = generator(1, "lots")
    drawn = [rng.choice(free, 6, replace=False).tolist() for _ in range(40)]
    assert abs(agreement(lists(found, *drawn)).kuncheva) < 0.05

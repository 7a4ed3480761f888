import json

import numpy as np
import pytest

from mia.desk.observation import ObservationTemplate
from mia.domain.errors import ArtefactMismatch, ConfigurationError
from mia.domain.rng import generator

VIEW = ("a", "b", "c", "d")


def template(**changes):
    plain = {
        "view": VIEW,
        "selected": ("d", "b"),
        "masks": ("bars", "depth"),
        "regimes": ("trend", "range", "defensive"),
        "clip": 5.0,
    }
    return ObservationTemplate(**(plain | changes))


def test_a_row_is_selected_clipped_columns_then_masks_then_belief():
    row = template().row(np.array([1.0, -9.0, 3.0, 4.0]), np.array([1.0, 0.0]), np.array([0.2, 0.3, 0.5]))
    assert row.dtype == np.float32
    assert row.tolist() == np.array([4, -5, 1, 0, 0.2, 0.3, 0.5], dtype=np.float32).tolist()


def test_names_and_width_describe_the_row():
    made = template()
    assert made.names == (
        "d", "b", "mask.bars", "mask.depth", "belief.trend", "belief.range", "belief.defensive",
    )  # fmt: skip
    assert made.width == 7


def test_a_missing_value_becomes_the_neutral_zero():
    row = template().row(np.array([0, np.nan, 0, np.inf]), np.zeros(2, dtype=bool), np.ones(3) / 3)
    assert row[:2].tolist() == [5.0, 0.0]


def test_batch_equals_rows_bit_for_bit():
    rng = generator(0, "test")
    made = template()
    view, masks, belief = 4 * rng.standard_normal((500, 4)), rng.random((500, 2)) < 0.5, rng.random((500, 3))
    batch = made.batch(view, masks, belief, names=VIEW)
    rows = np.stack([made.row(v, m, b) for v, m, b in zip(view, masks, belief, strict=True)])
    assert batch.tobytes() == rows.tobytes()


@pytest.mark.parametrize(
    "names", [("a", "b", "d", "c"), ("a", "b", "c"), ("a", "b", "c", "d", "e"), ("x", "b", "c", "d")]
)
def test_a_view_of_other_names_is_refused(names):
    with pytest.raises(ArtefactMismatch, match="must be"):
        template().batch(np.zeros((1, len(names))), np.zeros((1, 2)), np.zeros((1, 3)), names=names)


def test_other_mask_groups_are_refused():
    with pytest.raises(ArtefactMismatch, match="column 1 of the masks must be depth, was news"):
        template().check(VIEW, ("bars", "news"))


@pytest.mark.parametrize(("view", "masks", "belief"), [(3, 2, 3), (4, 1, 3), (4, 2, 2)])
def test_a_part_of_the_wrong_width_is_refused(view, masks, belief):
    with pytest.raises(ArtefactMismatch, match="must have the shape"):
        template().row(np.zeros(view), np.zeros(masks), np.zeros(belief))


def test_the_digest_changes_with_anything_a_policy_would_see_differently():
    changes = [
        {"selected": ("b", "d")},
        {"masks": ("depth", "bars")},
        {"clip": 4.0},
        {"view": ("b", "a", "c", "d")},
        {"regimes": ("range", "trend", "defensive")},
    ]
    digests = {template().digest, *(template(**change).digest for change in changes)}
    assert len(digests) == 6


def test_json_gives_the_same_template_back():
    made = template()
    again = ObservationTemplate.from_json(made.to_json())
    assert again == made
    assert again.digest == made.digest


@pytest.mark.parametrize(
    "spoil", ["{", "[]", json.dumps({"view": ["a"]}), template().to_json().replace('"d"', '"e"', 1)]
)
def test_a_text_that_is_no_template_is_refused(spoil):
    with pytest.raises(ArtefactMismatch, match="not readable"):
        ObservationTemplate.from_json(spoil)


@pytest.mark.parametrize("change", [{"selected": ("z",)}, {"selected": ("b", "b")}, {"clip": 0.0}])
def test_an_impossible_layout_is_refused(change):
    with pytest.raises(ConfigurationError, match="observation"):
        template(**change)

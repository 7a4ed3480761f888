"""Settings of the encoders and their files."""

import subprocess
import sys

import encoder_cases as cases
import pytest
import yaml

from mia.domain.errors import ConfigurationError
from mia.encoder.settings import BOOK_SERIES, BOOK_WINDOW, EncoderSettings


def of_file(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return EncoderSettings(**{key: tuple(v) if isinstance(v, list) else v for key, v in content.items()})


def test_importing_settings_pays_for_no_heavy_library():
    code = (
        "import sys, mia.encoder.settings; "
        "print([m for m in ('torch', 'pytorch_lightning', 'numba', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_running_an_encoder_pays_for_no_torch():
    code = (
        "import sys, mia.encoder.encoder, mia.encoder.training; "
        "print([m for m in ('torch', 'pytorch_lightning') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(("option", "kinds"), [("none", ()), ("lstm", ("lstm",)), ("cnn", ("cnn",)), ("both", None)])
def test_every_option_differs_from_both_only_in_name_and_kinds(root, option, kinds):
    both = of_file(root / "conf" / "encoder" / "both.yaml")
    made = of_file(root / "conf" / "encoder" / f"{option}.yaml")
    assert made.name == option
    assert made.kinds == (("lstm", "cnn") if kinds is None else kinds)
    for field in EncoderSettings.__dataclass_fields__:
        if field not in ("name", "kinds"):
            assert getattr(made, field) == getattr(both, field), field


def test_features_read_by_default_exist_and_are_in_the_bars_only_set_for_the_greater_part(root):
    names = set((root / "tests" / "features" / "feature_names.txt").read_text(encoding="utf-8").split())
    made = of_file(root / "conf" / "encoder" / "both.yaml")
    assert set(made.inputs) <= names
    assert 16 <= len(made.inputs) <= 24


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kinds": ("gru",)}, "kinds"),
        ({"kinds": ("lstm", "lstm")}, "kinds"),
        ({"directional": ("flow", "size")}, "directional"),
        ({"directional": (), "undirected": ()}, "directional"),
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"other_return_bars": (5,)}, "other_return_bars"),
        ({"other_return_bars": (0,)}, "other_return_bars"),
        ({"sequence_bars": BOOK_WINDOW}, "sequence_bars"),
        ({"kinds": ("lstm",), "lstm_window": 200, "sequence_bars": 100}, "sequence_bars"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(changes, word):
    with pytest.raises(ConfigurationError, match=rf"encoder tiny: {word} must .*conf/encoder/tiny.yaml"):
        cases.settings(**changes)


def test_the_book_is_five_levels_of_price_and_size_on_both_sides():
    assert len(set(BOOK_SERIES)) == 20
    assert BOOK_SERIES[0] == "dom.bid_px_1"
    assert BOOK_SERIES[5] == "dom.bid_sz_1"
    assert BOOK_SERIES[10] == "dom.ask_px_1"
    assert BOOK_SERIES[19] == "dom.ask_sz_5"

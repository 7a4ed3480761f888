"""The house keeps its own rules: imports go down, code is formatted, types hold, names stay clean."""

import re
import subprocess
import sys

import pytest


def run(root, *command):
    return subprocess.run([sys.executable, "-m", *command], cwd=root, capture_output=True, text=True, check=False)


def test_imports_only_go_down(root):
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing(root):
    done = run(root, "ruff", "check", "mia", "tests", "setup.py")
    assert done.returncode == 0, done.stdout


def test_code_is_formatted(root):
    done = run(root, "ruff", "format", "--check", "mia", "tests", "setup.py")
    assert done.returncode == 0, done.stdout


def test_types_hold_where_money_is_handled(root):
    done = run(root, "mypy")
    assert done.returncode == 0, done.stdout


def test_every_group_of_features_fits_on_a_screen(root):
    for path in (root / "conf" / "features" / "group").glob("*.yaml"):
        assert len(path.read_text().splitlines()) <= 27, path


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "misc"])
def test_no_room_is_a_cupboard(root, word):
    assert not list((root / "mia").rglob(word)), word
    assert not list((root / "mia").rglob(f"{word}.py")), word


def test_nothing_swallows_every_exception(root):
    """A bare except, or a broad one whose block only passes, hides the fault that loses money."""
    for path in (root / "mia").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"except\s*:|except (Base)?Exception[^\n]*:\s*\n\s*pass", text), path


def test_no_two_test_files_share_a_name(root):
    """Pytest imports test files by their bare name: two of one name pass alone and fail in the whole suite."""
    names = [path.name for path in (root / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})

"""Compiling beside the run is a courtesy: it may fail, never harm."""

import sys

from mia.task import warm


def test_a_helper_that_fails_holds_nobody_up(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with warm.beside() as compiled:
        compiled()


def test_no_helper_is_started_once_the_kernel_is_compiled(monkeypatch, tmp_path):
    (tmp_path / "features_x").mkdir()
    (tmp_path / "features_x" / "kernel.walk-9.py311.1.nbc").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(warm.subprocess, "Popen", None)  # calling it would raise
    with warm.beside() as compiled:
        compiled()


def test_only_the_newest_compiled_states_are_kept(monkeypatch, tmp_path):
    import os

    home = tmp_path / "mia"
    for age in range(8):
        (home / f"state{age}").mkdir(parents=True)
        os.utime(home / f"state{age}", (1000 + age, 1000 + age))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(home / "state7"))
    warm.forget_old_caches(keep=5)
    assert sorted(path.name for path in home.iterdir()) == [f"state{age}" for age in range(3, 8)]

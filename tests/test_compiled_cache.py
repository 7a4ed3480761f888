"""Where compiled code is kept: apart for each state of the source, and never a reason to fail."""

import os
import subprocess
import sys

PROBE = "import os, mia; print(os.environ.get('NUMBA_CACHE_DIR'))"


def cache_folder(**environment):
    clean = {key: value for key, value in os.environ.items() if key not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_compiled_code_lies_in_the_cache_folder_under_the_digest_of_the_source(tmp_path):
    folder = cache_folder(XDG_CACHE_HOME=str(tmp_path))
    assert folder.startswith(str(tmp_path / "mia"))
    assert cache_folder(XDG_CACHE_HOME=str(tmp_path)) == folder


def test_a_cache_folder_that_cannot_be_made_falls_back_to_the_temporary_one(tmp_path):
    (tmp_path / "file").touch()
    folder = cache_folder(XDG_CACHE_HOME=str(tmp_path / "file"), TMPDIR=str(tmp_path))
    assert folder.startswith(str(tmp_path / "mia"))


def test_a_cache_folder_of_ones_own_is_respected(tmp_path):
    assert cache_folder(NUMBA_CACHE_DIR=str(tmp_path)) == str(tmp_path)

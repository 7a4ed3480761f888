"""Compiles the feature kernel in a second process while the first makes the bars; called by the run task.

On a fresh machine half of the first run's time is compiling, and numba compiles on one core. The second core
costs nothing; if the helper fails for any reason, the kernel is compiled where it is needed, as without it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def beside() -> Iterator[Callable[[], None]]:
    """Start compiling unless it was done before; yields a function that waits until it is over."""
    helper = None if is_compiled() else _start_helper()
    try:
        yield lambda: helper.wait() if helper else None
    finally:
        if helper and helper.poll() is None:
            helper.kill()
            helper.wait()


def _start_helper() -> "subprocess.Popen[bytes] | None":
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "mia.task.warm"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None  # no process to be had: the kernel is compiled where it is needed


def is_compiled() -> bool:
    """Whether this state of the source has a compiled walk in its cache folder."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return folder is not None and any(Path(folder).rglob("kernel.walk-*.nbc"))


def compile_feature_kernel() -> None:
    """Walk two empty rows through the smallest plan: every operator is compiled on the way."""
    import numpy as np

    from mia.domain.series import WIDTH
    from mia.features.catalogue import expand
    from mia.features.engine import FeatureEngine
    from mia.features.plan import compile_plan
    from mia.task.command_line import compose

    market = compose(["+market=ES"]).market
    line = {
        "op": "take",
        "in": "bar.close",
        "unit": "points",
        "range": [0, None],
        "warm": 1,
        "norm": "none",
        "src": "-",
    }
    specs = expand({"warm": {"family": "raw_data", "specs": {"close": line}}})
    plan = compile_plan(specs, market, bar_minutes=1, session_minutes=1380)
    FeatureEngine(plan).batch(np.zeros((2, WIDTH)))


def forget_old_caches(keep: int = 5) -> None:
    """Remove the compiled code of all but the newest states of the source."""
    home = Path(os.environ.get("NUMBA_CACHE_DIR", ".")).parent
    if home.name == "mia":
        folders = sorted((path for path in home.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for path in folders[:-keep]:
            shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    compile_feature_kernel()
    forget_old_caches()

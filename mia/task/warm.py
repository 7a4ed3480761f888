"""Compiles in a second process while the first makes the bars and trains; called by the run and features tasks.

On a fresh machine half of the first run's time is compiling, and numba compiles on one core. The second core
costs nothing; if the helper fails for any reason, all is compiled where it is needed, as without it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

READY = b"feature kernel\n"


@contextmanager
def beside() -> Iterator[Callable[[], None]]:
    """Start compiling unless it was done before; yields a function that waits until the feature kernel is ready.

    What is needed later is compiled meanwhile; whoever needs it earlier compiles it, too.
    """
    helper = None if is_compiled() else _start_helper()
    try:
        yield lambda: _wait_for_kernel(helper) if helper else None
    finally:
        if helper and helper.poll() is None:
            helper.kill()
            helper.wait()
        if helper and helper.stdout:
            helper.stdout.close()


def _start_helper() -> "subprocess.Popen[bytes] | None":
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "mia.task.warm"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None  # no process to be had: all is compiled where it is needed


def _wait_for_kernel(helper: "subprocess.Popen[bytes]") -> None:
    """Until the helper says so, or is gone."""
    if helper.stdout:
        helper.stdout.readline()


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


def compile_the_rest() -> None:
    """Call what follows the kernel, with next to nothing: memory, drift and the sentinel's record."""
    import numpy as np

    from mia.algo.policy import TrainedPolicy
    from mia.algo.sentinel import Sentinel
    from mia.broker.terms import terms
    from mia.desk.awareness import Awareness
    from mia.domain.rng import generator
    from mia.features.drift import DriftMonitor, DriftReference
    from mia.memory.context_basis import ContextBasis
    from mia.memory.context_memory import ContextMemory
    from mia.risk.limits import limits
    from mia.task.command_line import compose

    settings = compose(["+market=ES"])
    rows = generator(0, "warm").normal(size=(120, 2))
    few = np.arange(120.0)
    basis = ContextBasis.fit(rows, ("a", "b"), 0.01)
    memory = ContextMemory(basis=basis, settings=settings.memory)
    stamps = np.arange(120) * 60_000_000_000
    belief = np.full((120, 3), 1 / 3)
    memory.advance(memory.new_state(), rows, few, few, few, np.ones(120), belief, np.zeros(120), stamps)
    monitor = DriftMonitor(reference=DriftReference.fit(rows, ("a", "b")))
    drift = monitor.advance(monitor.new_state(), rows)
    shapes = ((4, 4), (4, 4), (153, 4))
    layers = tuple((np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)) for shape in shapes)
    policy = TrainedPolicy(
        algo="qr_dqn", layers=layers, activation="relu", n_quantiles=51, value_cents=1.0, abstains=False, card={}
    )
    cost = terms(settings.market, settings.broker.model(settings.broker.headline))
    shadow = Sentinel(policy=policy, terms=cost, limits=limits(settings.risk, settings.market))
    no = np.zeros(120, dtype=bool)
    said = shadow.advance(
        shadow.new_state(),
        np.zeros((120, 3), np.float32),
        few,
        few,
        np.zeros(120),
        no,
        no,
        r_cents=np.ones(120),
        drift=drift,
        limit_cents=1.0,
    )
    awareness = Awareness()
    awareness.advance(awareness.new_state(), said)


def forget_old_caches(keep: int = 5) -> None:
    """Remove the compiled code of all but the newest states of the source."""
    home = Path(os.environ.get("NUMBA_CACHE_DIR", ".")).parent
    if home.name == "mia":
        folders = sorted((path for path in home.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for path in folders[:-keep]:
            shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    compile_feature_kernel()
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    compile_the_rest()
    forget_old_caches()

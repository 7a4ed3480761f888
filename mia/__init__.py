"""mia: learns to trade index futures, judges itself honestly, and trades on the same code."""

import hashlib
import os
from pathlib import Path

__version__ = "0.1.0"


def _keep_compiled_code_apart() -> None:
    """Give each state of the source its own folder of compiled code.

    numba recompiles a function when its own file changes, not when a function it calls in another file does;
    a stale kernel would go on giving old numbers without a word. An own NUMBA_CACHE_DIR is respected.
    """
    package = Path(__file__).parent
    state = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        state.update(path.read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(base, "mia", state.hexdigest()[:16])))


_keep_compiled_code_apart()

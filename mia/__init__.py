"""mia: learns to trade index futures, judges itself honestly, and trades on the same code."""

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

__version__ = "0.1.0"


@cache
def source_digest() -> str:
    """SHA-256 of all modules of the package."""
    package = Path(__file__).parent
    state = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        state.update(path.read_bytes())
    return state.hexdigest()


def _keep_compiled_code_apart() -> None:
    """Give each state of the source its own folder of compiled code.

    numba recompiles a function when its own file changes, not when a function it calls in another file does;
    a stale kernel would go on giving old numbers without a word. An own NUMBA_CACHE_DIR is respected.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    # A home that cannot be written to (a container, a locked-down desk) must not stop anybody.
    for base in (home, tempfile.gettempdir()):
        folder = Path(base, "mia", source_digest()[:16])
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            os.environ["NUMBA_CACHE_DIR"] = str(folder)
            return


_keep_compiled_code_apart()

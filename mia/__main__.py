"""One command: compose the configuration, check it whole, run one task. `python -m mia --help` lists both."""

import os
import sys
from collections.abc import Sequence

# One native thread: two were measured five times slower on a busy machine, and sums would differ in the
# last bit. Set before numpy and torch load their libraries.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 refused before anything was written."""
    from mia.task import command_line

    return command_line.run(list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())

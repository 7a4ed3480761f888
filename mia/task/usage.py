"""What a process has used so far, for the summary."""

import resource
import time
from typing import Any

import numpy as np

from mia.domain.rng import generator

WARM_UP = 20  # decisions before the clock runs: the first one may compile


def cpu_seconds() -> float:
    """CPU time of this process and its finished children so far [s]; take the difference of two calls."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_memory_mb() -> float:
    """Largest memory this process has held [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def decision_latency_us(policy: Any, width: int, repeats: int = 200) -> float:
    """Median time of one decision [µs].

    Parameters
    ----------
    policy : has ``decide(obs (width,) float32, position) -> target``. One that abstains answers without asking
        its network; measure it before that is decided.
    width : columns of the market part of the observation
    repeats : decisions timed, each on a row of its own
    """
    rng = generator(0, "latency")
    rows = rng.standard_normal((repeats, width)).astype(np.float32)
    positions = rng.integers(-1, 2, repeats).astype(np.float64)
    for k in range(WARM_UP):
        policy.decide(rows[k % repeats], positions[k % repeats])
    taken = np.empty(repeats)
    for k in range(repeats):
        began = time.perf_counter_ns()
        policy.decide(rows[k], positions[k])
        taken[k] = time.perf_counter_ns() - began
    return float(np.median(taken)) / 1000

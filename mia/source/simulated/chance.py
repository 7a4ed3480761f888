"""Random numbers inside compiled kernels: xoshiro256+ on four words seeded by the house's named generators.

Own code keeps the stream the same whatever numpy's generators become, and costs about two nanoseconds.
"""

import math

import numpy as np
from numba import njit

_U17, _U45, _U19, _U11 = np.uint64(17), np.uint64(45), np.uint64(19), np.uint64(11)
_UNIT = 2.0**-53

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Compiles what only other kernels call: no entry from Python, so less to compile."""


def seeded(rng: np.random.Generator) -> np.ndarray:
    """Return (4,) uint64 words of state, never all zero."""
    return rng.integers(1, 2**64 - 1, size=4, dtype=np.uint64)


@inner
def uniform(s):
    """Next number in [0, 1). Source: Blackman, Vigna (2021), Scrambled linear pseudorandom generators."""
    result = s[0] + s[3]
    shifted = s[1] << _U17
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = (s[3] << _U45) | (s[3] >> _U19)
    return np.float64(result >> _U11) * _UNIT


@inner
def exponential(s):
    """Next exponential number of mean 1."""
    return -math.log(1.0 - uniform(s))


@inner
def geometric(s, mean):
    """Next geometric number >= 1 of the given mean."""
    if mean <= 1.0:
        return 1
    return 1 + int(math.log(1.0 - uniform(s)) / math.log(1.0 - 1.0 / mean))

"""Randomness by name: one seed gives every part of the system its own independent stream."""

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the generator that belongs to `seed` and a purpose, e.g. ``generator(7, "simulated", "ES")``.

    Streams of different names are independent, so adding a consumer never shifts another's numbers.
    """
    digest = hashlib.sha256("/".join(names).encode()).digest()
    words = np.frombuffer(digest[:16], dtype=np.uint32)
    return np.random.default_rng(np.random.SeedSequence([seed, *(int(w) for w in words)]))  # noqa: TID251 - the one place

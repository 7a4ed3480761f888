"""Which expert deserves trust: posterior weights that follow out-of-sample profit block by block, and forget.

One function, `learn`, serves the ensemble's training, the sentinel's shadow accounts and online learning.

Hypothesis k says that expert k is the best one: its excess over the experts' average profit, in standard
deviations, then has mean `edge` where it would else have 0, with unit variance. The log-likelihood ratio of a block is
edge * z_k - edge^2 / 2, whose constant cancels between experts. Old evidence is tempered: of the log-odds against the
prior, the share `forgetting` stays from block to block, so that without news the weights return to the prior.

Source: Bissiri, Holmes and Walker (2016), A general framework for updating belief distributions; Raftery, Karny and
Ettler (2010), Online prediction under model uncertainty via dynamic model averaging, for the forgetting.
"""

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from mia.algo.settings.ensemble import VoteSettings

Array = np.ndarray

# What is known of an expert: log-weight up to a constant; blocks seen, with forgetting; sums and sums of squares of
# its excess, its profit and its mirror image's profit; blocks in a row in which its target never changed.
LOG, COUNT, EXCESS, EXCESS2, OWN, OWN2, MIRROR, MIRROR2, STILL = range(9)
FIELDS = 9
# What a block says of an expert: profit, profit of its mirror image, changes of its target, 1 if all it said is finite.
PROFIT, MIRRORED, CHANGES, FINITE = range(4)
BLOCK_FIELDS = 4
# Fields of the rule.
_FORGETTING, _EDGE, _CLIP, _DOUBT, _LEAST, _PATIENCE, VOICE = range(7)

SOUND, NOT_FINITE, CONSTANT, INVERTED = range(4)
STANDING = ("sound", "not finite", "constant", "inverted")
"""What an expert can be, by number; all but the first weigh nothing."""


def rule_of(settings: VoteSettings) -> Array:
    """Return (7,) float64, the settings as the compiled functions read them."""
    return np.array(
        [
            settings.forgetting,
            settings.edge,
            settings.clip,
            settings.doubt,
            settings.least_blocks,
            settings.patience,
            settings.voice,
        ]
    )


def begin(weights: Sequence[float]) -> Array:
    """Return (K, FIELDS) float64, what is known of K experts of these weights before any block.

    An expert of weight 0 has failed and stays out for good.
    """
    known = np.zeros((len(weights), FIELDS))
    for k, weight in enumerate(weights):
        known[k, LOG] = math.log(weight) if weight > 0 else -np.inf
    return known


def weights_of(known: Array, rule: Array) -> Array:
    """Return (K,) float64 posterior probabilities, which sum to 1; all 0 if every expert has failed."""
    out = np.empty(len(known))
    weigh(known, rule, out)
    return out


def standing_of(known: Array, rule: Array) -> tuple[str, ...]:
    """Return for each expert one of `STANDING`."""
    return tuple(STANDING[standing(row, rule)] for row in known)


def follow(known: Array, log_prior: Array, rule: Array, blocks: Array, moved: Array) -> Array:
    """Learn from B blocks in order and return (B, K), the weights before each: what a vote may use within it.

    Parameters
    ----------
    known : (K, FIELDS), changed in place
    log_prior : (K,) logarithms of the prior
    rule : of `rule_of`
    blocks : (B, K, BLOCK_FIELDS)
    moved : (B,) bool, whether the market's price changed within the block
    """
    trace = np.empty((len(blocks), len(known)))
    for b in range(len(blocks)):
        weigh(known, rule, trace[b])
        learn(known, log_prior, rule, blocks[b], bool(moved[b]))
    return trace


@njit(cache=True)
def _t(count: float, total: float, squares: float) -> float:
    """Mean over its standard error; 0 where there is none."""
    mean = total / count
    variance = squares / count - mean * mean
    if variance <= 1e-12 * squares / count:
        return 0.0 if mean == 0.0 else math.copysign(np.inf, mean)
    return mean / math.sqrt(variance / count)


@njit(cache=True)
def standing(row: Array, rule: Array) -> int:
    """Return whether an expert is `SOUND`, or why it is not."""
    if row[LOG] == -np.inf:
        return NOT_FINITE
    if row[STILL] >= rule[_PATIENCE]:
        return CONSTANT
    if row[COUNT] >= rule[_LEAST]:
        own = _t(row[COUNT], row[OWN], row[OWN2])
        mirror = _t(row[COUNT], row[MIRROR], row[MIRROR2])
        if own < -rule[_DOUBT] and mirror > rule[_DOUBT]:
            return INVERTED
    return SOUND


@njit(cache=True)
def weigh(known: Array, rule: Array, out: Array) -> None:
    """Write the posterior probabilities to `out` (K,)."""
    best = -np.inf
    for k in range(len(known)):
        if standing(known[k], rule) == SOUND:
            best = max(best, known[k, LOG])
    total = 0.0
    for k in range(len(known)):
        out[k] = math.exp(known[k, LOG] - best) if standing(known[k], rule) == SOUND else 0.0
        total += out[k]
    for k in range(len(known)):
        out[k] = out[k] / total if total > 0.0 else 0.0


@njit(cache=True)
def _average(known: Array, rule: Array, block: Array) -> float:
    """Mean profit of the sound experts; of all where none is."""
    total, n, everything = 0.0, 0, 0.0
    for k in range(len(known)):
        everything += block[k, PROFIT]
        if standing(known[k], rule) == SOUND:
            total += block[k, PROFIT]
            n += 1
    return total / n if n > 0 else everything / len(known)


@njit(cache=True)
def _remember(row: Array, forgetting: float, block: Array, excess: float) -> None:
    for field in range(COUNT, STILL):
        row[field] *= forgetting
    row[COUNT] += 1.0
    row[EXCESS] += excess
    row[EXCESS2] += excess * excess
    row[OWN] += block[PROFIT]
    row[OWN2] += block[PROFIT] * block[PROFIT]
    row[MIRROR] += block[MIRRORED]
    row[MIRROR2] += block[MIRRORED] * block[MIRRORED]


@njit(cache=True)
def _noise(known: Array, rule: Array) -> float:
    """Standard deviation of an excess, pooled over the sound experts.

    Each around its own mean, which counts as known only as blocks grow: the first block's deviation is from 0.
    """
    total, n = 0.0, 0
    for k in range(len(known)):
        if standing(known[k], rule) == SOUND:
            count = known[k, COUNT]
            mean = known[k, EXCESS] / count
            total += known[k, EXCESS2] / count - (1.0 - 1.0 / count) * mean * mean
            n += 1
    return math.sqrt(max(0.0, total / n)) if n > 0 else 0.0


@njit(cache=True)
def learn(known: Array, log_prior: Array, rule: Array, block: Array, moved: bool) -> None:
    """Learn from one block.

    Parameters
    ----------
    known : (K, FIELDS), changed in place
    log_prior : (K,)
    rule : of `rule_of`
    block : (K, BLOCK_FIELDS), what each expert earned and did in it on an account of its own
    moved : whether the market's price changed within it
    """
    for k in range(len(known)):
        if block[k, FINITE] == 0.0:
            known[k, LOG] = -np.inf  # a number that is none once is reason enough: until it is trained again
    average = _average(known, rule, block)
    for k in range(len(known)):
        _remember(known[k], rule[_FORGETTING], block[k], block[k, PROFIT] - average)
        if block[k, CHANGES] > 0.0:
            known[k, STILL] = 0.0
        elif moved:
            known[k, STILL] += 1.0
    noise = _noise(known, rule)
    best = -np.inf
    for k in range(len(known)):
        if known[k, LOG] == -np.inf:
            continue
        z = (block[k, PROFIT] - average) / noise if noise > 0.0 else 0.0
        z = min(rule[_CLIP], max(-rule[_CLIP], z))
        kept = rule[_FORGETTING] * (known[k, LOG] - log_prior[k])
        known[k, LOG] = log_prior[k] + kept + rule[_EDGE] * z
        best = max(best, known[k, LOG])
    for k in range(len(known)):
        if known[k, LOG] > -np.inf:
            known[k, LOG] -= best

"""The mean of the worst losses, its standard deviation and its interval. Called by the constrained learner."""

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

_REACH = 3.0
"""A resample's tail is looked for among the worst so many times its own size; it never reaches further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The worst `1 - alpha` of some losses.

    Parameters
    ----------
    threshold : the loss they begin at, the value at risk
    mean : their mean, the conditional value at risk
    error : standard deviation of that mean as an estimate; infinite for fewer than two losses
    """

    threshold: float
    mean: float
    error: float

    def bound(self, deviations: float) -> float:
        """Return the mean plus so many of its standard deviations."""
        return self.mean + deviations * self.error


def tail(losses: Array, alpha: float) -> Tail:
    """Measure the worst `1 - alpha` of (n,) independent losses, n >= 1.

    Where that share is not a whole number of losses the last of them counts in part. Over fifty heavy-tailed losses
    the mean is 12 % too small on average, over two hundred 2 %, over five thousand 0.1 %.

    Source: Rockafellar and Uryasev (2002), Conditional value-at-risk for general loss distributions, prop. 8; the
    deviation is that of threshold + (loss - threshold)+ / (1 - alpha), whose mean it is.
    """
    n = len(losses)
    worst = np.sort(losses)[::-1]
    size = n * (1.0 - alpha)
    # 1 - 0.95 is a hair more than a twentieth; the hair must not count as one more loss.
    last = min(max(math.ceil(size - 1e-9), 1), n) - 1
    if size < 1:
        mean = float(worst[0])
    else:
        mean = float((worst[:last].sum() + (size - last) * worst[last]) / size)
    threshold = float(worst[last])
    excess = np.maximum(losses - threshold, 0.0) / (1.0 - alpha)
    error = float(excess.std(ddof=1) / math.sqrt(n)) if n > 1 else math.inf
    return Tail(threshold=threshold, mean=mean, error=error)


def interval(
    losses: Array, alpha: float, confidence: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the bootstrap percentile interval of `tail(losses, alpha).mean`, for (n,) independent losses.

    Only the worst losses are resampled, with one more class for all the others, so it costs little for many losses.

    Parameters
    ----------
    losses, alpha : as in `tail`
    confidence : probability that lies within, in (0, 1)
    resamples : resamples drawn [count]
    rng : draws them
    """
    n = len(losses)
    size = n * (1.0 - alpha)
    kept = min(n, math.ceil(_REACH * size) + 50)
    worst = np.sort(losses)[::-1][:kept]
    chances = np.append(np.full(kept, 1.0 / n), max(0.0, 1.0 - kept / n))
    drawn = rng.multinomial(n, chances / chances.sum(), size=resamples)
    mass = np.minimum(np.cumsum(drawn, axis=1), max(size, 1.0))
    values = np.append(worst, worst[-1])
    means = np.diff(mass, axis=1, prepend=0.0) @ values / max(size, 1.0)
    half = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, (half, 1.0 - half))
    return float(low), float(high)

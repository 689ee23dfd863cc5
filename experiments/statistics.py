"""Means, spreads, and paired differences with Student's t interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean of n values, their standard deviation, and the confidence interval of the mean.

    `sd`, `low` and `high` are None where n < 2: one value says nothing of the spread.
    """

    mean: float
    n: int
    sd: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str:
        """What the interval of a difference supports: better, worse, no difference shown."""
        if self.low is None or self.high is None:
            return "no interval exists"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference shown"


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean, standard deviation (n - 1) and t interval of independent values.

    Raises ValueError where there are no values. Values that are not finite leave only a mean.
    """
    if not len(values):
        raise ValueError("no values to average")
    array = np.asarray(values, np.float64)
    n, mean = len(array), float(array.mean())
    if n < 2 or not np.isfinite(array).all():
        return Interval(mean, n)
    sd = float(array.std(ddof=1))
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * sd / math.sqrt(n)
    return Interval(mean, n, sd, mean - half, mean + half)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """The interval of the differences ours - theirs, pair by pair.

    Raises ValueError where they are not as many.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} values cannot be paired with {len(theirs)}")
    with np.errstate(invalid="ignore"):  # inf - inf
        return interval(np.subtract(ours, theirs).tolist())

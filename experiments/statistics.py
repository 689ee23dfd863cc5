"""Means, spreads, and paired differences with Student's t interval; numpy and nothing else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


def t_cdf(t: float, df: int) -> float:
    """P(T <= t) of Student's t with `df` degrees of freedom, a whole number of at least 1.

    The finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4: exact, no special function needed.
    """
    theta = math.atan(t / math.sqrt(df))
    cos, sin = math.cos(theta), math.sin(theta)
    odd = df % 2
    term = cos if odd else 1.0
    total = 0.0
    for j in range(2 + odd, df + 1, 2):  # cos, 2/3 cos^3, ... or 1, 1/2 cos^2, ...
        total += term
        term *= cos * cos * (j - 1) / j
    both = (theta + sin * total) * 2 / math.pi if odd else sin * total
    return (1 + both) / 2


def t_quantile(p: float, df: int) -> float:
    """The t with t_cdf(t, df) = p, for 0 < p < 1; raises ValueError for anything else."""
    if not 0 < p < 1 or df < 1 or df != int(df):
        raise ValueError(f"no t quantile of p = {p} with {df} degrees of freedom")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


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
    half = t_quantile((1 + confidence) / 2, n - 1) * sd / math.sqrt(n)
    return Interval(mean, n, sd, mean - half, mean + half)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """The interval of the differences ours - theirs, pair by pair.

    Raises ValueError where they are not as many.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} values cannot be paired with {len(theirs)}")
    with np.errstate(invalid="ignore"):  # inf - inf
        return interval(np.subtract(ours, theirs).tolist())

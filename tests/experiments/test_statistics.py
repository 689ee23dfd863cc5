"""Intervals against published tables of Student's t, and of numbers worked out by hand."""

import math

import numpy as np
import pytest

from experiments.statistics import interval, paired

# Two-sided 95 % and one-sided 99.5 % quantiles, as every table of Student's t prints them.
TABLE = {
    1: (12.706, 63.657),
    2: (4.303, 9.925),
    3: (3.182, 5.841),
    4: (2.776, 4.604),
    5: (2.571, 4.032),
    9: (2.262, 3.250),
    13: (2.160, 3.012),
    30: (2.042, 2.750),
    120: (1.980, 2.617),
}


@pytest.mark.parametrize("df", [*TABLE, 100_000])
def test_intervals_are_those_of_the_table(df):
    values = np.random.default_rng(df).normal(size=df + 1)
    for confidence, column in ((0.95, 0), (0.99, 1)):
        found = interval(values, confidence)
        half = TABLE.get(df, (1.95996, 2.57583))[column] * found.sd / math.sqrt(df + 1)
        assert found.high - found.mean == pytest.approx(half, rel=3e-4)
        assert found.mean - found.low == pytest.approx(half, rel=3e-4)


def test_interval_by_hand():
    # mean 2, sd 1, standard error 1/sqrt(3), t(0.975, 2) = 4.302653
    found = interval([1.0, 2.0, 3.0])
    assert (found.mean, found.n, found.sd) == (2.0, 3, 1.0)
    half = 4.302653 / math.sqrt(3)
    assert found.low == pytest.approx(2 - half, abs=1e-6)
    assert found.high == pytest.approx(2 + half, abs=1e-6)


def test_pairing_removes_what_both_share():
    """Seeds that are 1 dB apart, a gain that is the same for each: unpaired it would be lost."""
    base = np.array([30.0, 31.0, 32.0])
    better = base + np.array([0.10, 0.12, 0.11])
    gain = paired(better, base)
    assert gain.mean == pytest.approx(0.11)
    assert gain.verdict == "better"
    assert paired(base, better).verdict == "worse"


def test_verdicts_claim_what_the_interval_supports():
    assert interval([0.1, -0.1, 0.05]).verdict == "no difference shown"
    assert interval([0.0, 0.0, 0.0]).verdict == "no difference shown"
    assert interval([5.0]).verdict == "no interval exists"
    assert interval([5.0]).sd is None
    assert interval([1.0, math.inf]).verdict == "no interval exists"


def test_wrong_numbers_of_values():
    with pytest.raises(ValueError, match="no values"):
        interval([])
    with pytest.raises(ValueError, match="cannot be paired"):
        paired([1.0, 2.0], [1.0])


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    found = [interval(rng.normal(1.0, 2.0, 4)) for _ in range(2000)]
    covered = np.mean([f.low <= 1.0 <= f.high for f in found])
    assert 0.93 < covered < 0.97

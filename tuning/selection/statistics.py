"""Intervals: how far a number can be believed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and the interval that holds the true one with the given confidence."""

    mean: float
    low: float
    high: float

    @property
    def includes_zero(self) -> bool:
        """Whether it could as well be nothing."""
        return self.low <= 0.0 <= self.high


def accuracy_interval(correct: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of an accuracy of `correct` out of `n` images, both ends in [0, 1].

    Wilson's score interval (1927): unlike the normal approximation it holds near 0 and 1 and for small n.
    """
    if not 0 <= correct <= n or n == 0:
        raise ValueError(f"{correct} correct of {n} is no share; need 0 <= correct <= n and n >= 1")
    z = float(ndtri(0.5 + confidence / 2.0))
    share, shrink = correct / n, 1.0 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1.0 - share) / n + z * z / (4 * n * n))
    # At the ends the formula gives 0 and 1 but for rounding.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == n else centre + half)


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean of a few normal values with Student's t-interval; of paired differences, the paired t-test.

    Raises:
        ValueError: fewer than two values; one value says nothing about its own error.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs at least 2 values, got {len(values)}")
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = error * float(stdtrit(len(values) - 1, 0.5 + confidence / 2.0))
    return Estimate(mean, mean - half, mean + half)

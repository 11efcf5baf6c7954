"""When to stop a trial early: ASHA, asynchronous Hyperband and median stopping. Pure rules, independent of Ray.

A rule sees the value of every epoch of every trial once. Its decisions depend only on the order of those reports, so
replaying a record rebuilds it.
"""

import bisect
import math
import statistics
from collections.abc import Sequence
from typing import Protocol


class StoppingRule(Protocol):
    """Decides after each epoch of a trial whether the trial ends."""

    cutoff: float | None
    """Value that the last report had to reach; None if there was no decision."""

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Note the value of a trial after an epoch, greater is better; True if the trial must stop."""


class NeverStop:
    """Every trial runs to its last epoch."""

    cutoff: float | None = None

    def report(self, number: int, epoch: int, value: float) -> bool:
        """False."""
        return False


class SuccessiveHalving:
    """Asynchronous successive halving in its stopping form (Li et al. 2020, "A system for massively parallel
    hyperparameter tuning"): at a rung a trial goes on if it is among the best 1/`reduction_factor` so far.

    The threshold at a rung is the (1 - 1/`reduction_factor`) quantile, linearly interpolated, of the values that
    earlier trials had there; the first trial always goes on.
    """

    def __init__(self, rungs: Sequence[int], reduction_factor: int) -> None:
        """`rungs` are the epochs at which the rule decides."""
        self._values: dict[int, list[float]] = {rung: [] for rung in rungs}
        """Sorted, by rung."""
        self._quantile = 1 - 1 / reduction_factor
        self.cutoff: float | None = None

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Decide at a rung; anywhere else the trial goes on."""
        values = self._values.get(epoch)
        self.cutoff = _quantile(values, self._quantile) if values else None
        if values is not None:
            bisect.insort(values, value)
        return self.cutoff is not None and value < self.cutoff


class Hyperband:
    """Asynchronous Hyperband (same paper): successive halving in several brackets, each with a later first rung.

    Brackets get equal budgets, as published: each new trial joins the bracket that has been given the fewest epochs,
    counting a trial as what a bracket expects to spend on it. Its number alone decides, so a resumed study keeps it.
    """

    def __init__(self, rungs: Sequence[int], reduction_factor: int, brackets: int, last_epoch: int) -> None:
        """Bracket `s` skips the first `s` rungs; a bracket that skips all of them stops nothing."""
        own_rungs = [rungs[skipped:] for skipped in range(min(brackets, len(rungs) + 1))]
        self._brackets = [SuccessiveHalving(own, reduction_factor) for own in own_rungs]
        self.costs = [expected_epochs(own, reduction_factor, last_epoch) for own in own_rungs]
        """Expected epochs per trial, by bracket."""
        self._spent = [0.0] * len(own_rungs)
        self._bracket_of: list[int] = []
        self.cutoff: float | None = None

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Decide as the trial's bracket does."""
        bracket = self._brackets[self.bracket(number)]
        stops = bracket.report(number, epoch, value)
        self.cutoff = bracket.cutoff
        return stops

    def bracket(self, number: int) -> int:
        """The bracket of a trial, counted from 0."""
        while len(self._bracket_of) <= number:
            chosen = min(range(len(self._spent)), key=self._spent.__getitem__)
            self._spent[chosen] += self.costs[chosen]
            self._bracket_of.append(chosen)
        return self._bracket_of[number]


class MedianStopping:
    """Median stopping (Golovin et al. 2017, "Google Vizier"): a trial ends if its best value so far is worse than the
    median of the other trials' running means at the same epoch."""

    def __init__(self, grace_epochs: int, min_trials: int) -> None:
        """Nothing is stopped before `grace_epochs`, or where fewer than `min_trials` others have come as far."""
        self._grace = grace_epochs
        self._min_trials = min_trials
        self._best: dict[int, float] = {}
        self._sums: dict[int, float] = {}
        """By trial, of its values from `grace_epochs` on."""
        self._means: dict[int, list[float]] = {}
        """Sorted running means of the trials that reached an epoch, by epoch."""
        self.cutoff: float | None = None
        """The median, compared with the trial's best value so far."""

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Compare the trial with those that reached this epoch before it."""
        self._best[number] = max(value, self._best.get(number, -math.inf))
        self.cutoff = None
        if epoch < self._grace:
            return False
        self._sums[number] = self._sums.get(number, 0.0) + value
        others = self._means.setdefault(epoch, [])
        if len(others) >= self._min_trials:
            self.cutoff = statistics.median(others)
        bisect.insort(others, self._sums[number] / (epoch - self._grace + 1))
        return self.cutoff is not None and self._best[number] < self.cutoff


def _quantile(values: Sequence[float], quantile: float) -> float:
    """Quantile of sorted values, linearly interpolated."""
    position = (len(values) - 1) * quantile
    below = math.floor(position)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (position - below)


def expected_epochs(rungs: Sequence[int], reduction_factor: int, last_epoch: int) -> float:
    """Mean epochs per trial if 1/`reduction_factor` of the trials pass each rung."""
    ends = [*rungs, last_epoch]
    shares = (float(reduction_factor) ** -survived for survived in range(len(ends)))
    return sum(share * (end - begin) for share, begin, end in zip(shares, [0, *rungs], ends, strict=True))

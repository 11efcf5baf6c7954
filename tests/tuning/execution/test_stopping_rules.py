"""Early stopping as published, and as Ray Tune's own schedulers do it on the same curves."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from tuning.execution.stopping_rules import Hyperband, MedianStopping, StoppingRule, SuccessiveHalving, expected_epochs

MAX_EPOCHS = 27
RUNGS = (1, 3, 9)


def random_curves(seed: int, trials: int) -> np.ndarray:
    """Rising curves with noise, trials x epochs; no two values are equal."""
    generator = np.random.default_rng(seed)
    ceiling, speed = generator.uniform(0.3, 1.0, (2, trials, 1))
    epochs = np.arange(1, MAX_EPOCHS + 1)
    return ceiling * (1 - np.exp(-speed * epochs)) + generator.normal(0, 0.02, (trials, MAX_EPOCHS))


def reached(rule: StoppingRule, curves: np.ndarray, workers: int) -> list[int]:
    """Epochs that each trial reaches, where `workers` trials take turns epoch by epoch."""
    return simulate(curves, workers, lambda number, epoch, value: rule.report(number, epoch, value))


def reached_with_ray(scheduler: Any, curves: np.ndarray, workers: int) -> list[int]:
    trials: dict[int, SimpleNamespace] = {}

    def report(number: int, epoch: int, value: float) -> bool:
        if number not in trials:
            trials[number] = _Hashable(trial_id=str(number))
            scheduler.on_trial_add(None, trials[number])
        result = {"epoch": epoch, "value": value}
        return scheduler.on_trial_result(None, trials[number], result) == TrialScheduler.STOP

    return simulate(curves, workers, report)


class _Hashable(SimpleNamespace):
    __hash__ = object.__hash__


def simulate(curves: np.ndarray, workers: int, report: Any) -> list[int]:
    ends = [0] * len(curves)
    waiting, running = list(range(len(curves))), []
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(waiting.pop(0))
        for number in list(running):
            ends[number] += 1
            last = ends[number] == MAX_EPOCHS
            if last or report(number, ends[number], float(curves[number, ends[number] - 1])):
                running.remove(number)
    return ends


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("seed", range(5))
def test_asha_stops_what_rays_stops(seed: int, workers: int) -> None:
    curves = random_curves(seed, 60)
    theirs = AsyncHyperBandScheduler(
        time_attr="epoch", metric="value", mode="max", max_t=MAX_EPOCHS, grace_period=1, reduction_factor=3
    )
    assert reached(SuccessiveHalving(RUNGS, 3), curves, workers) == reached_with_ray(theirs, curves, workers)


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("seed", range(5))
def test_the_median_rule_stops_what_rays_stops(seed: int, workers: int) -> None:
    curves = random_curves(seed, 40)
    theirs = MedianStoppingRule(
        time_attr="epoch",
        metric="value",
        mode="max",
        grace_period=2,
        min_samples_required=3,
        min_time_slice=float("inf"),
    )
    assert reached(MedianStopping(2, 3), curves, workers) == reached_with_ray(theirs, curves, workers)


def test_a_third_of_many_trials_passes_each_rung() -> None:
    """Published: of n configurations at a rung n/eta go on. Values come in random order, so the first may be lucky."""
    generator = np.random.default_rng(0)
    rule = SuccessiveHalving((1,), 3)
    stopped = sum(rule.report(number, 1, value) for number, value in enumerate(generator.random(3000)))
    assert stopped / 3000 == pytest.approx(2 / 3, abs=0.03)


def test_equal_values_all_go_on() -> None:
    rule = SuccessiveHalving((1,), 3)
    assert not any(rule.report(number, 1, 0.5) for number in range(10))


def test_the_cutoff_is_the_interpolated_quantile() -> None:
    rule = SuccessiveHalving((1,), 2)
    assert [rule.report(number, 1, value) for number, value in enumerate([0.2, 0.4, 0.29, 0.31])] == [
        False,
        False,
        True,  # below 0.3, the median of 0.2 and 0.4
        False,  # above 0.29, the median of 0.2, 0.29 and 0.4
    ]


def test_hyperbands_brackets_get_equal_budgets() -> None:
    """As published, where Ray Tune draws brackets by softmax weights of their numbers of rungs."""
    rule = Hyperband(RUNGS, 3, brackets=4, last_epoch=MAX_EPOCHS)
    chosen = [rule.bracket(number) for number in range(1000)]
    budgets = [chosen.count(bracket) * cost for bracket, cost in enumerate(rule.costs)]
    assert len(budgets) == 4
    assert max(budgets) - min(budgets) <= MAX_EPOCHS


def test_the_costs_of_brackets() -> None:
    """R = 27, eta = 3: rungs at 1, 3, 9 take 1 + 2/3 + 6/9 + 18/27 epochs; the last bracket is random search."""
    rule = Hyperband(RUNGS, 3, brackets=4, last_epoch=27)
    assert rule.costs == pytest.approx([3.0, 3 + 6 / 3 + 18 / 9, 9 + 18 / 3, 27.0])
    assert expected_epochs((), 3, 27) == 27


def test_the_bracket_of_a_trial_does_not_depend_on_the_order_of_reports() -> None:
    one, other = (Hyperband(RUNGS, 3, brackets=3, last_epoch=27) for _ in range(2))
    forwards = [one.bracket(number) for number in range(50)]
    assert [other.bracket(number) for number in reversed(range(50))] == forwards[::-1]


def test_trials_compete_within_their_bracket() -> None:
    rule = Hyperband(RUNGS, 3, brackets=2, last_epoch=27)
    first, second = ([number for number in range(30) if rule.bracket(number) == bracket] for bracket in range(2))
    for number in first[:4]:
        assert not rule.report(number, 1, 1.0)
    assert rule.report(first[4], 1, 0.1)
    assert not rule.report(second[0], 1, 0.0)  # epoch 1 is no rung of the second bracket
    assert not rule.report(second[0], 3, 0.0)  # the first there


def test_more_brackets_than_rungs() -> None:
    rule = Hyperband((), 3, brackets=3, last_epoch=5)
    assert {rule.bracket(number) for number in range(10)} == {0}
    assert not any(rule.report(number, 1, -number) for number in range(10))


def test_median_compares_the_best_with_running_means_from_the_grace_on() -> None:
    rule = MedianStopping(grace_epochs=2, min_trials=2)
    for number in (0, 1):
        for epoch, value in enumerate([0.9, 0.4, 0.6], start=1):
            assert not rule.report(number, epoch, value)
    # Means at epoch 2 are 0.4 and at epoch 3 0.5: the first epoch is within the grace.
    assert not rule.report(2, 1, 0.0)
    assert not rule.report(2, 2, 0.45)
    assert rule.report(2, 3, 0.1)

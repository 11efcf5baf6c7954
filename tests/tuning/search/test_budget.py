from typing import Any

import pytest

from search_spaces.schema import SearchConfig
from tuning.search.budget import Budget
from tuning.storage.journal import TrialState


def make(**search: Any) -> Budget:
    return Budget(SearchConfig.model_validate(search))


def train(budget: Budget, number: int, values: list[float], state: TrialState = "completed") -> float | None:
    budget.start(number)
    for epoch, value in enumerate(values, start=1):
        budget.observe(number, epoch, value)
    return budget.finish(number, state)


def test_trials_count_from_their_beginning_and_infeasible_ones_do_not() -> None:
    budget = make(trials=2)
    budget.start(0)
    assert budget.trials_spent is None
    train(budget, 1, [0.5], "failed")
    assert budget.trials_spent == "all 2 trials are done"
    budget.finish(0, "infeasible")
    assert budget.trials_spent is None


def test_an_epoch_trained_twice_counts_once() -> None:
    budget = make(total_epochs=4)
    budget.start(0)
    for epoch in (1, 2, 2, 1, 3):
        budget.observe(0, epoch, 0.5)
    assert budget.spent is None
    budget.observe(0, 4, 0.5)
    assert budget.spent == "the budget of 4 epochs is spent"


@pytest.mark.parametrize(("objective", "values"), [("val_accuracy", [0.2, 0.9, 0.5]), ("val_loss", [0.8, 0.1, 0.5])])
def test_a_trial_is_worth_its_best_epoch(objective: str, values: list[float]) -> None:
    assert train(make(objective=objective), 0, values) == values[1]


@pytest.mark.parametrize(("objective", "value"), [("val_accuracy", 0.95), ("val_loss", 0.05)])
def test_the_target_is_reached_by_a_running_trial(objective: str, value: float) -> None:
    budget = make(objective=objective, target=value)
    budget.start(0)
    budget.observe(0, 1, 0.5)
    assert budget.spent is None
    budget.observe(0, 2, value)
    assert budget.spent == f"{objective} has reached the target {value}"


def test_patience_begins_anew_with_every_better_trial() -> None:
    budget = make(patience=2)
    train(budget, 0, [0.5])
    train(budget, 1, [0.4], "stopped")
    train(budget, 2, [0.6])
    train(budget, 3, [0.6])
    train(budget, 4, [], "infeasible")
    assert budget.spent is None
    train(budget, 5, [0.9], "failed")
    assert budget.spent == "no better val_accuracy in the last 2 finished trials"

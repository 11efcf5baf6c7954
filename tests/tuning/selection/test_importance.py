from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from tuning.search.search import Search
from tuning.selection.importance import Importance, ParameterImportance, explain
from tuning.storage.record import StudyRecord, TrialRecord

SPACE: dict[str, Any] = {
    "model.filters": {"choices": [4, 8, 16]},
    "model.dropout": {"low": 0.0, "high": 0.5},
    "optimizer.name": {"choices": ["sgd", "adamw"]},
    "optimizer.momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer.name": "sgd"}},
    "training.batch_size": {"choices": [32, 64]},
}


def record(truth: Callable[[dict[str, Any]], float], trials: int = 60, **search: Any) -> StudyRecord:
    """A random search whose results follow a formula and a little noise."""
    options = {"searcher": "random", "trials": trials, **search}
    content = {"name": "s", "data": {"dataset": "digits"}, "model": {"name": "cnn", "filters": 4}}
    study = StudyConfig.model_validate(content | {"search": options, "space": SPACE})
    proposals, random = Search(study, "f", lambda config: {}), np.random.default_rng(0)
    found = []
    while (proposed := proposals.ask().trial) is not None:
        value = truth(proposed.params) + random.normal(0, 0.002)
        found.append(
            TrialRecord(
                number=proposed.number,
                source=proposed.source,
                params=proposed.params,
                config=TrialConfig.model_validate(proposed.config),
                hash=proposed.hash,
                size={},
                state="completed" if proposed.number % 3 else "stopped",
                proposed_at=0.0,
                epochs=({"val_accuracy": value, "val_loss": 1 - value},),
            )
        )
    return StudyRecord(study, "f", "finished", "", (0.0,), tuple(found))


def by_path(importance: Importance) -> dict[str, ParameterImportance]:
    return {one.path: one for one in importance.parameters}


def test_the_parameter_that_decides_is_first_and_the_idle_one_is_near_nothing() -> None:
    found = explain(record(lambda values: 0.9 - 0.2 * values["model.dropout"] + 0.001 * values["model.filters"]))
    assert found.note == ""
    assert found.parameters[0].path == "model.dropout"
    parameters = by_path(found)
    dropout, idle = parameters["model.dropout"], parameters["training.batch_size"]
    assert dropout.correlation is not None
    assert dropout.correlation < -0.8
    assert dropout.variance is not None
    assert idle.variance is not None
    assert dropout.variance.low > 0.5 > idle.variance.high
    total = sum(one.importance.value for one in found.parameters if one.importance)
    assert total == pytest.approx(1.0, abs=0.01)
    for one in found.parameters:
        assert one.importance is not None
        assert 0.0 <= one.importance.low <= one.importance.high <= 1.0


def test_a_conditional_parameter_is_judged_where_it_exists() -> None:
    found = explain(record(lambda values: 0.8 + 0.1 * values.get("optimizer.momentum", 0.0), trials=80))
    momentum = by_path(found)["optimizer.momentum"]
    assert 20 < momentum.trials < 60
    assert momentum.correlation is not None
    assert momentum.correlation > 0.9
    assert momentum.variance is not None
    assert momentum.variance.value > 0.8


def test_results_by_value_are_best_first() -> None:
    found = by_path(explain(record(lambda values: 0.8 + 0.01 * values["model.filters"])))
    filters = found["model.filters"].values
    assert [one.value for one in filters] == [16, 8, 4]
    assert sum(one.trials for one in filters) == 60
    dropout = found["model.dropout"].values
    assert len(dropout) == 4
    assert all(one.value[0] <= one.value[1] for one in dropout)
    assert found["optimizer.name"].correlation is None


def test_smaller_losses_are_better() -> None:
    found = by_path(explain(record(lambda values: 0.8 + 0.01 * values["model.filters"], objective="val_loss")))
    assert [one.value for one in found["model.filters"].values] == [16, 8, 4]
    assert found["model.filters"].correlation is not None
    assert found["model.filters"].correlation < -0.9


def test_too_few_trials_are_said_to_be_too_few() -> None:
    found = explain(record(lambda values: 0.5, trials=5))
    assert found.note == "importance needs 10 trials with a result, there are 5"
    assert all(one.importance is None and one.variance is None for one in found.parameters)
    assert all(one.values for one in found.parameters if one.trials)

from typing import Any

import pytest

from search_spaces.schema import StudyConfig
from tuning.planning.plan import Plan, make_plan

SHAPE, CLASSES = (1, 8, 8), 10


def make_study(space: dict[str, Any], **content: Any) -> StudyConfig:
    base = {"name": "s", "data": {"dataset": "digits"}, "model": {"name": "cnn", "blocks": 2, "filters": 8}}
    return StudyConfig.model_validate(base | {"space": space} | content)


def plan(space: dict[str, Any], **content: Any) -> Plan:
    return make_plan(make_study(space, **content), SHAPE, CLASSES, samples=60)


DISCRETE = {
    "model.filters": {"choices": [2, 4, 16]},
    "optimizer.name": {"choices": ["sgd", "adamw"]},
    "optimizer.momentum": {"low": 0.0, "high": 0.9, "step": 0.1, "when": {"optimizer.name": "sgd"}},
}


def test_a_discrete_space_is_counted_exactly_and_measured_whole() -> None:
    found = plan(DISCRETE)
    assert found.cardinality == 3 * (10 + 1)
    assert found.measured == 33
    assert [one.kind for one in found.samples[:3]] == ["default", "smallest", "largest"]
    default, smallest, largest = found.samples[:3]
    assert default.params == {"model.filters": 8, "optimizer.name": "adamw"}
    assert smallest.params["model.filters"] == 2
    assert largest.params["model.filters"] == 16
    assert (smallest.parameters or 0) < (default.parameters or 0) < (largest.parameters or 0)
    assert all(one.macs and one.memory_bytes for one in found.samples)
    assert found.infeasible_fraction == 0.0


def test_a_continuous_space_says_so() -> None:
    space = DISCRETE | {"optimizer.learning_rate": {"low": 1e-4, "high": 0.1, "log": True}}
    found = plan(space)
    assert found.cardinality == "continuous"
    assert found.measured == 60
    values = {parameter.path: parameter.values for parameter in found.parameters}
    assert values == {
        "model.filters": 3,
        "optimizer.name": 2,
        "optimizer.momentum": 10,
        "optimizer.learning_rate": "continuous",
    }


def test_what_cannot_be_built_is_counted_with_its_reason() -> None:
    found = plan({"model.blocks": {"low": 1, "high": 6}})
    assert found.infeasible_fraction == pytest.approx(0.5)  # 8 pixels bear three poolings
    assert sum(found.infeasible_reasons.values()) == 3
    assert all("pool" in reason or "pixel" in reason for reason in found.infeasible_reasons)
    assert [one.params["model.blocks"] for one in found.samples if one.infeasible]


def test_values_that_make_no_valid_configuration_are_infeasible_too() -> None:
    space = {"optimizer.momentum": {"choices": [0.0, 0.9]}, "optimizer.nesterov": {"choices": [True, False]}}
    found = plan(space, optimizer={"name": "sgd"})
    assert found.cardinality == 4
    assert found.infeasible_fraction == 0.25
    assert "nesterov needs momentum" in next(iter(found.infeasible_reasons))


def test_epochs_and_rungs() -> None:
    content = {"training": {"max_epochs": 9}, "search": {"trials": 20, "scheduler": "asha"}}
    epochs = plan(DISCRETE, **content, confirm={"top": 2, "seeds": 3}).epochs
    assert (epochs.a_trial, epochs.rungs, epochs.most, epochs.confirm) == (9, (1, 3), 180, 54)
    assert epochs.expected == round(20 * (1 + 2 / 3 + 6 / 9))
    without = plan(DISCRETE, training={"max_epochs": 9}, search={"trials": 100, "scheduler": "none"})
    assert without.trials == 33
    assert (without.epochs.most, without.epochs.expected) == (33 * 9, 33 * 9)
    limited = plan(DISCRETE, training={"max_epochs": 9}, search={"total_epochs": 50, "scheduler": "median"})
    assert (limited.epochs.most, limited.epochs.expected) == (50, None)


def test_disk_is_enough_for_real_checkpoints() -> None:
    found = plan(DISCRETE, search={"keep_checkpoints": 2})
    largest = found.samples[2].parameters or 0
    assert found.checkpoint_bytes == 4 * largest * (2 + 10)


def test_the_plan_prints_as_json() -> None:
    content = plan(DISCRETE).model_dump(mode="json")
    assert {"parameters", "cardinality", "samples", "infeasible_fraction", "epochs"} <= content.keys()

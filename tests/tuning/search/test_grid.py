"""The grid counts and numbers what a plain enumeration lists."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.composition import is_active
from search_spaces.fields import field_paths
from search_spaces.schema import StudyConfig, Value
from trainables.config import TrialConfig
from trainables.config.canonical import canonical_json
from trainables.errors import InputError
from tuning.search.grid import Grid
from tuning.search.space import Space


def make_space(space: dict[str, Any]) -> Space:
    return Space(StudyConfig.model_validate({"name": "s", "data": {"dataset": "digits"}, "space": space}))


def enumerate_plainly(
    space: Space, position: int = 0, values: dict[str, Value] | None = None
) -> list[dict[str, Value]]:
    values = values or {}
    if position == len(space.order):
        return [values]
    path = space.order[position]
    if not is_active(space.study, path, values):
        return enumerate_plainly(space, position + 1, values)
    choices = space.domains[path].values or ()
    return [one for value in choices for one in enumerate_plainly(space, position + 1, {**values, path: value})]


conditions = st.sampled_from(
    [
        None,
        {"optimizer.name": "sgd"},
        {"model.filters": [2, 4]},
        {"optimizer.name": ["sgd", "rmsprop"], "model.filters": 3},
    ]
)


@settings(max_examples=60, deadline=None)
@given(momentum=conditions, decay=conditions, chained=st.booleans(), steps=st.integers(1, 4))
def test_counts_and_numbers_every_configuration_once(momentum: Any, decay: Any, chained: bool, steps: int) -> None:
    space = make_space(
        {
            "optimizer.momentum": {"choices": [0.0, 0.9], "when": momentum},
            "optimizer.weight_decay": {"low": 0.0, "high": 0.1 * steps, "step": 0.1, "when": decay},
            "optimizer.nesterov": {"choices": [True, False], "when": {"optimizer.momentum": 0.9} if chained else None},
            "optimizer.name": {"choices": ["sgd", "rmsprop", "adamw"]},
            "model.filters": {"low": 2, "high": 4},
            "model.hidden": {"choices": [[1], [1, 2]], "when": {"model.filters": 3}},
        }
    )
    grid = Grid(space)
    expected = enumerate_plainly(space)
    assert grid.size == len(expected)
    assert [grid[index] for index in range(grid.size)] == expected
    shuffled = [canonical_json(values) for values in grid.shuffled(3)]
    assert sorted(shuffled) == sorted(map(canonical_json, expected))


def test_counts_more_than_could_ever_be_listed() -> None:
    space = {f"augmentation.{name}": {"low": 0.0, "high": 1.0, "step": 0.001} for name in ("brightness", "contrast")}
    space |= {"model.filters": {"low": 1, "high": 10**6}, "training.seed": {"low": 0, "high": 10**6 - 1}}
    grid = Grid(make_space(space))
    assert grid.size == 1001 * 1001 * 10**12
    assert grid[grid.size - 1]["training.seed"] == 10**6 - 1


PATHS = [path for section in TrialConfig.model_fields for path in field_paths(section)]


def test_one_parameter_under_many_conditions_is_counted() -> None:
    controls, dependent = PATHS[:60], PATHS[60]
    space: dict[str, Any] = {path: {"choices": list(range(100))} for path in controls}
    space[dependent] = {"choices": [1, 2, 3], "when": {key: list(range(50)) for key in controls}}
    grid = Grid(make_space(space))
    assert grid.size == 100**60 + 2 * 50**60
    assert grid[grid.size - 1] == dict.fromkeys(controls, 99)
    assert grid[0] == dict.fromkeys(controls, 0) | {dependent: 1}


def test_a_condition_on_a_long_range_looks_at_what_it_names_alone() -> None:
    asked = {"training.batch_size": [3, 5, 999_999]}
    space = {
        "training.batch_size": {"low": 1, "high": 10**6},
        "model.filters": {"choices": [1, 2], "when": asked},
        "model.dropout": {"low": 0, "high": 0.5, "step": 5e-7, "when": {"training.batch_size": 5}},
    }
    grid = Grid(make_space(space))
    assert grid.size == 10**6 - 3 + 2 + 2 + 2 * 1_000_001
    assert grid[2] == {"training.batch_size": 3, "model.filters": 1}
    assert grid[5]["training.batch_size"] == 5
    assert grid[grid.size - 1] == {"training.batch_size": 10**6}


def test_conditions_that_cross_too_much_are_refused() -> None:
    pairs = list(zip(PATHS[:30], PATHS[30:60], strict=True))
    space: dict[str, Any] = {control: {"choices": [1, 2]} for control, _ in pairs}
    space |= {dependent: {"choices": [1, 2], "when": {control: 1}} for control, dependent in pairs}
    with pytest.raises(InputError, match="cannot be counted"):
        Grid(make_space(space))

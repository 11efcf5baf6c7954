"""The grid counts and numbers what a plain enumeration lists."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.composition import is_active
from search_spaces.schema import StudyConfig, Value
from tuning.search.grid import Grid
from tuning.search.space import Space
from tuning.storage.journal import canonical_json


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

from typing import Any

import pytest

from search_spaces.schema import StudyConfig
from trainables.errors import InputError
from tuning.search.validation import check_search

RATE = {"low": 1e-4, "high": 1e-1, "log": True}
DROPOUT = {"low": 0.0, "high": 0.5, "step": 0.1}
MOMENTUM = {"low": 0.0, "high": 0.9, "when": {"optimizer.name": "sgd"}}
OPTIMIZER = {"choices": ["sgd", "adam"]}


def make_study(space: dict[str, Any], confirm: Any = None, **search: Any) -> StudyConfig:
    content = {"name": "s", "data": {"dataset": "digits"}, "search": search, "space": space, "confirm": confirm or {}}
    return StudyConfig.model_validate(content)


@pytest.mark.parametrize(
    ("searcher", "space", "complaints"),
    [
        (
            "grid",
            {"optimizer.learning_rate": RATE},
            ["space.optimizer.learning_rate: grid needs a finite set of values"],
        ),
        ("gp", {"optimizer.name": OPTIMIZER, "optimizer.momentum": MOMENTUM}, ["space.optimizer.momentum: has `when`"]),
        (
            "cma_es",
            {"optimizer.name": OPTIMIZER, "optimizer.momentum": MOMENTUM},
            ["space.optimizer.momentum: has `when`", "space.optimizer.name: has choices", "has 1; use tpe or gp"],
        ),
    ],
)
def test_what_a_searcher_cannot_search_is_refused_with_every_reason(
    searcher: str, space: dict[str, Any], complaints: list[str]
) -> None:
    with pytest.raises(InputError) as error:
        check_search(make_study(space, searcher=searcher))
    assert len(str(error.value).splitlines()) == len(complaints)
    assert all(complaint in str(error.value) for complaint in complaints)


@pytest.mark.parametrize(
    ("searcher", "space"),
    [
        ("grid", {"model.dropout": DROPOUT, "optimizer.name": OPTIMIZER}),
        ("gp", {"model.dropout": DROPOUT, "optimizer.name": OPTIMIZER}),
        ("cma_es", {"model.dropout": DROPOUT, "optimizer.learning_rate": RATE}),
        ("tpe", {"optimizer.name": OPTIMIZER, "optimizer.momentum": MOMENTUM}),
        ("nsga2", {"optimizer.name": OPTIMIZER, "optimizer.momentum": MOMENTUM}),
    ],
)
def test_what_goes_together_passes(searcher: str, space: dict[str, Any]) -> None:
    check_search(make_study(space, searcher=searcher))


def test_more_confirmed_than_tried_is_refused() -> None:
    with pytest.raises(InputError, match=r"confirm.top: 5 is more than search.trials, 4"):
        check_search(make_study({"model.dropout": DROPOUT}, confirm={"top": 5}, trials=4))


def test_more_first_trials_than_trials_is_refused() -> None:
    first = [{"model.dropout": 0.1}, {"model.dropout": 0.2}]
    with pytest.raises(InputError, match="set it to at least 3"):
        check_search(make_study({"model.dropout": DROPOUT}, first=first, trials=2))


def test_two_objectives_are_refused_where_one_is_all_that_is_looked_at() -> None:
    space = {"model.dropout": DROPOUT, "optimizer.learning_rate": RATE}
    with pytest.raises(InputError) as error:
        check_search(make_study(space, second_objective="macs", searcher="cma_es", scheduler="asha"))
    assert "asha ranks trials by one objective" in str(error.value)
    assert "cma_es supports only one objective" in str(error.value)
    check_search(make_study(space, second_objective="macs", searcher="nsga2", scheduler="none"))


def test_a_warm_start_of_what_learns_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="search.warm_start: random does not learn"):
        check_search(make_study({"model.dropout": DROPOUT}, searcher="random", warm_start="before"))

from typing import Any

import pytest
from pydantic import ValidationError

from search_spaces.messages import KeyProblem, explain
from search_spaces.salvage import salvage
from search_spaces.schema import StudyConfig

GOOD = {"name": "s", "data": {"dataset": "digits"}, "space": {"model.filters": {"choices": [8]}}}


def salvaged(content: dict[str, Any]) -> StudyConfig | None:
    with pytest.raises(ValidationError) as caught:
        StudyConfig.model_validate(content)
    return salvage(content, explain(caught.value, StudyConfig))


def test_good_parts_are_kept():
    study = salvaged(
        GOOD | {"training": {"max_epochs": 3, "batch_size": "x"}, "zzz": 1, "model": {"name": "cnn", "x": 1}}
    )
    assert study is not None
    assert study.training.max_epochs == 3
    assert study.model.name == "cnn"
    assert set(study.space) == {"model.filters"}


def test_a_parameter_goes_as_a_whole():
    study = salvaged(GOOD | {"space": {"model.filters": {"choices": [8]}, "model.blocks": {"low": "x", "high": 3}}})
    assert study is not None
    assert set(study.space) == {"model.filters"}


def test_what_is_missing_takes_its_holder_with_it():
    study = salvaged(GOOD | {"optimizer": {"learning_rate": 0.1}, "model": {"name": "cnn", "kernel_size": 5}})
    assert study is not None
    assert study.optimizer.name == "adamw"
    assert study.model.kernel_size == 5


def test_missing_names_and_data_have_stand_ins():
    study = salvaged({"space": GOOD["space"]})
    assert study is not None
    assert set(study.space) == {"model.filters"}


@pytest.mark.parametrize("space", [{}, None, 3, {"model.filters": 3}])
def test_a_space_of_which_nothing_can_be_read_is_empty(space):
    study = salvaged(GOOD | {"space": space, "training": {"max_epochs": 3}})
    assert study is not None
    assert study.space == {}
    assert study.training.max_epochs == 3


def test_the_content_is_not_touched():
    content = {"name": "a b", **{key: value for key, value in GOOD.items() if key != "name"}}
    salvage(content, [KeyProblem(("name",), "is wrong")])
    assert content["name"] == "a b"

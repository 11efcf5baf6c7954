from pathlib import Path

import pytest

from search_spaces.schema import StudyConfig
from tuning.changes import study_changes


def _study(**changes: object) -> StudyConfig:
    content = {
        "name": "s",
        "data": {"dataset": "mnist", "root": "data"},
        "search": {"trials": 5},
        "space": {"model.filters": {"choices": [8, 16]}},
    }
    return StudyConfig.model_validate(content | changes)


def test_an_unchanged_study_and_an_extended_one_show_no_change() -> None:
    assert study_changes(_study(), _study(search={"trials": 50, "time_budget": "8h"})) == ()


def test_a_folder_is_the_same_however_it_is_written() -> None:
    assert study_changes(_study(), _study(data={"dataset": "mnist", "root": str(Path("data").resolve())})) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": {"max_epochs": 3}}, "training.max_epochs: was 10, is 3"),
        ({"model": {"name": "softmax_regression"}}, "model.name: was cnn, is softmax_regression"),
        (
            {"space": {"model.filters": {"choices": [8]}}},
            "space.model.filters: was {'choices': [8, 16]}, is {",
        ),
        ({"search": {"trials": 5, "searcher": "random"}}, "search.searcher: was "),
    ],
)
def test_what_changed_is_named_with_both_values(changes: dict[str, object], said: str) -> None:
    assert str(study_changes(_study(), _study(**changes))[0]).startswith(said)


def test_a_parameter_that_is_new_or_gone_is_a_change() -> None:
    more = _study(space={"model.filters": {"choices": [8, 16]}, "model.blocks": {"choices": [1, 2]}})
    assert [change.path for change in study_changes(_study(), more)] == ["space.model.blocks"]
    assert [change.path for change in study_changes(more, _study())] == ["space.model.blocks"]

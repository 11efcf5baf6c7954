import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import search_spaces
from search_spaces.json_schema import FILE, study_schema
from search_spaces.loading import StudyFileError, load_study
from search_spaces.yaml_file import parse
from tests.fuzz.answers import Unread

SHIPPED = sorted(Path(search_spaces.__file__).parent.rglob("*.yaml"))
VALIDATOR = Draft202012Validator(study_schema())
BASE = {"name": "a", "data": {"dataset": "digits"}, "space": {"optimizer.learning_rate": {"low": 1e-4, "high": 0.1}}}


def errors(content: object) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(content)]


def with_changes(changes: dict[str, Any]) -> dict[str, Any]:
    """`BASE` with sections added to or, where they are no mappings, replaced; None takes one out."""
    content: dict[str, Any] = {**BASE}
    for key, value in changes.items():
        both = isinstance(value, dict) and key in content and key != "space"
        content[key] = {**content[key], **value} if both else value
    return {key: value for key, value in content.items() if value is not None}


@pytest.fixture
def load(tmp_path: Path) -> Callable[[object], object]:
    def load(content: object) -> object:
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
        return load_study(tmp_path / "study.yaml", environment={"V": "4", "TEXT": "asha"})

    return load


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(study_schema())


def test_the_file_for_editors_is_current() -> None:
    assert json.loads(FILE.read_text()) == study_schema(), "run `make schema`"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_name_the_schema_and_are_valid(path: Path) -> None:
    first, text = path.read_text().splitlines()[0], path.read_text()
    assert (path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve() == FILE
    assert errors(parse(text, Unread()).content) == []


def test_there_are_shipped_files() -> None:
    assert len(SHIPPED) > 50


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"search": {"scheduler": "asha", "searcher": "cma_es"}},
        {
            "search": {
                "scheduler": {"name": "asha", "grace_epochs": 2},
                "searcher": {"name": "tpe", "startup_trials": 3},
            }
        },
        {"search": {"time_budget": "1h30m"}},
        {"search": {"time_budget": " 90s "}},
        {"search": {"time_budget": 5400}},
        {"search": {"time_budget": None, "target": 0.99, "trials": 4.0}},
        {"search": {"trials": "${V}", "scheduler": "${TEXT}", "searcher": {"name": "${NO:-random}"}}},
        {"search": {"first": [{"optimizer.learning_rate": 0.01, "model.name": "cnn"}]}},
        {
            "search": {
                "stages": [
                    {"parameters": ["optimizer.learning_rate"], "trials": 5, "searcher": "random", "top": 2},
                    {"parameters": ["optimizer.learning_rate"], "trials": "${V}", "scheduler": None},
                ]
            }
        },
        {"name": "study-${V}"},
        {"resources": {"memory_per_trial": "4GiB", "gpus_per_trial": 0.25}},
        {"resources": {"memory_per_trial": 2**32}},
        {"model": {"name": "cnn", "batch_norm": "yes", "padding": 0}},
        {"model": {"name": "${MODEL:-cnn}", "filters": 16}},
        {"model": {"name": "fully_connected", "hidden": [64, "${V}"]}},
        {"augmentation": {"policy": "trivial_augment", "rotation": 15}},
        {
            "space": {
                "model.name": {"choices": ["cnn", "fully_connected"]},
                "model.hidden": {"choices": [[64], [128, 64]], "when": {"model.name": "fully_connected"}},
                "model.filters": {"low": 8, "high": 64, "step": 8, "when": {"model.name": ["cnn"]}},
                "training.gradient_clip": {"choices": [None, 1.0]},
                "training.batch_size": {"low": "${V}", "high": 64, "log": True},
            }
        },
    ],
)
def test_what_the_loader_takes_is_valid(changes: dict[str, Any], load: Callable[[object], object]) -> None:
    content = with_changes(changes)
    load(content)
    assert errors(content) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"data": None},
        {"space": {}},
        {"serach": {"trials": 5}},
        {"search": {"trials": 0}},
        {"search": {"trials": True}},
        {"search": {"scheduler": "ahsa"}},
        {"search": {"scheduler": {"grace_epochs": 2}}},
        {"search": {"scheduler": {"name": "none", "grace_epochs": 2}}},
        {"search": {"time_budget": "8 hours"}},
        {"search": {"time_budget": ""}},
        {"search": {"first": [{"optimizer.learning_speed": 0.01}]}},
        {"search": {"stages": [{"parameters": ["optimizer.learning_speed"], "trials": 5}]}},
        {"model": {"name": "cnn", "hidden": [64]}},
        {"model": {"filters": 16}},
        {"data": {"dataset": "mnits"}},
        {"augmentation": {"horizontal_flip": 1.5}},
        {"space": {"data.image_size": {"choices": [8, 16]}}},
        {"space": {"model.filter": {"choices": [8, 16]}}},
        {"space": {"model.filters": {"choices": []}}},
        {"space": {"model.filters": {"low": 8}}},
        {"space": {"model.filters": {"low": 8, "high": 16, "choices": [8, 16]}}},
        {"space": {"model.filters": {"choices": [8, "many"]}}},
        {"space": {"model.name": {"choices": ["cnn", "cnm"]}}},
        {"space": {"model.filters": {"choices": [8, 16], "when": {"model.nam": "cnn"}}}},
        {
            "space": {
                "model.name": {"choices": ["cnn", "conv_net"]},
                "model.filters": {"choices": [8, 16], "when": {"model.name": [{}, "cnn"]}},
            }
        },
        {"name": "with spaces"},
    ],
)
def test_what_is_not_valid_the_loader_refuses(changes: dict[str, Any], load: Callable[[object], object]) -> None:
    content = with_changes(changes)
    assert errors(content) != []
    with pytest.raises(StudyFileError):
        load(content)


def test_fields_are_described() -> None:
    schema = study_schema()
    assert schema["$defs"]["CnnConfig"]["properties"]["filters"]["description"] == "Filters of the first block."
    assert schema["properties"]["space"]["properties"]["model.filters"]["description"] == "Filters of the first block."

from typing import Any

import pytest

from search_spaces.overrides import apply_override, key_path, read_override


def overridden(content: dict[str, Any], *texts: str) -> dict[str, Any]:
    for text in texts:
        path, value, problems = read_override(text, {})
        assert problems == []
        assert apply_override(content, path, value) == []
    return content


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("name", ("name",)),
        ("search.trials", ("search", "trials")),
        ("search.searcher.startup_trials", ("search", "searcher", "startup_trials")),
        ("space", ("space",)),
        ("space.model.filters", ("space", "model.filters")),
        ("space.model.filters.choices", ("space", "model.filters", "choices")),
        ("space.optimizer.momentum.when", ("space", "optimizer.momentum", "when")),
        ("space.optimizer.momentum.when.optimizer.name", ("space", "optimizer.momentum", "when", "optimizer.name")),
        ("space.x", ("space", "x")),
    ],
)
def test_a_parameters_path_stays_together(key, path):
    assert key_path(key) == path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=3", 3), ("a=1e-4", 1e-4), ("a=true", True), ("a=[8, 16]", [8, 16]), ("a={b: 1}", {"b": 1}), ("a='3'", "3"),
        ("a=", None), ("a=b=c", "b=c"), (" a = 3 ", 3), ("a=8h", "8h"),
    ],
)  # fmt: skip
def test_values_are_yaml(text, value):
    assert read_override(text, {}) == (("a",), value, [])


def test_variables_are_read():
    assert read_override("a=${B:-2}", {"B": "3"}) == (("a",), 3, [])


def test_what_the_file_does_not_have_is_made():
    assert overridden({}, "training.max_epochs=3", "space.model.filters.choices=[8]") == {
        "training": {"max_epochs": 3},
        "space": {"model.filters": {"choices": [8]}},
    }


def test_a_section_the_file_does_not_have_is_the_default_variant():
    assert overridden({}, "optimizer.learning_rate=0.1", "schedule.warmup_epochs=1") == {
        "optimizer": {"name": "adamw", "learning_rate": 0.1},
        "schedule": {"name": "none", "warmup_epochs": 1},
    }


def test_a_searcher_given_by_name_can_get_options():
    assert overridden({"search": {"searcher": "tpe"}}, "search.searcher.startup_trials=3") == {
        "search": {"searcher": {"name": "tpe", "startup_trials": 3}}
    }
    assert overridden({}, "search.scheduler.grace_epochs=3") == {
        "search": {"scheduler": {"name": "asha", "grace_epochs": 3}}
    }


def test_choices_put_a_range_out_of_force_and_a_range_choices():
    space = {"space": {"model.filters": {"low": 8, "high": 64, "step": 8, "when": {"model.name": "cnn"}}}}
    chosen = {"choices": [8], "when": {"model.name": "cnn"}}
    assert overridden(space, "space.model.filters.choices=[8]") == {"space": {"model.filters": chosen}}
    ranged = {"low": 8, "high": 9, "when": {"model.name": "cnn"}}
    assert overridden(space, "space.model.filters.low=8", "space.model.filters.high=9") == {
        "space": {"model.filters": ranged}
    }


def test_a_value_holds_no_keys():
    (problem,) = apply_override({"name": "s"}, ("name", "x"), 1)
    assert str(problem) == "name.x: name is 's', not a mapping"

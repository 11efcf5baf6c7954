from typing import Any

import pytest

from search_spaces.schema import StudyConfig
from search_spaces.space_checks import check_first, check_space


def make_study(space: dict[str, Any], **base: Any) -> StudyConfig:
    return StudyConfig.model_validate({"name": "s", "data": {"dataset": "digits"}, "space": space} | base)


def found(space: dict[str, Any], **base: Any) -> list[str]:
    return [str(problem).removeprefix("space.") for problem in check_space(make_study(space, **base))]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model.fliters", "no such field; did you mean `model.filters`?"),
        ("modle.filters", "no such field; did you mean `model.filters`?"),
        ("filters", "no such field; did you mean `model.filters`?"),
        ("optimizer.zzz", "no such field; fields of optimizer: optimizer.learning_rate, "),
        ("model.learning_rate", "no such field; did you mean `optimizer.learning_rate`?"),
        ("modle.name", "no such field; did you mean `model.name`?"),
        ("zzz.qqq", "no such field; write section.field, for example model.filters; sections: data, model, "),
        ("model", "is a section; name a field in it, for example model.name"),
        ("model.branches", "is a field of model.name attention_cnn; in this study model.name is cnn"),
        ("optimizer.momentum", "is a field of optimizer.name sgd, rmsprop; in this study optimizer.name is adamw"),
        ("name", "cannot vary: a study has one name; set it in the base configuration"),
        ("search.trials", "cannot vary: search settings are fixed for the whole study"),
        ("resources.cpus_per_trial", "cannot vary: a trial's resources are fixed for the whole study"),
        ("space.model.filters", "cannot vary: a space cannot vary itself"),
        ("data.dataset", "cannot vary: all trials must see the same images"),
        ("data.root", "cannot vary: all trials must see the same images"),
        ("data.split_seed", "cannot vary: all trials must see the same images in the same split"),
        ("data.validation_fraction", "cannot vary: all trials must see the same images in the same split"),
        ("data.image_size", "cannot vary: all trials must see the same images"),
        ("training.checkpoint_seconds", "cannot vary: it does not affect what a trial learns"),
    ],
)
def test_paths_that_cannot_vary(path, expected):
    (problem,) = found({path: {"choices": [1]}})
    assert problem.startswith(f"{path}: {expected}")


@pytest.mark.parametrize("path", ["training.batch_size", "augmentation.crop_padding"])
def test_other_fields_can(path):
    assert found({path: {"low": 8, "high": 16}}) == []


@pytest.mark.parametrize(
    ("path", "parameter", "expected"),
    [
        ("model.batch_norm", {"choices": [True, False, True]}, ".choices[2]: True is listed twice; keep one"),
        ("optimizer.learning_rate", {"choices": [1, 0.1, 1.0]}, ".choices[2]: 1.0 is listed twice; keep one"),
        ("model.blocks", {"low": 1.5, "high": 3}, ".low: got 1.5; model.blocks takes whole numbers"),
        ("model.padding", {"low": 0, "high": 2.5}, ".high: got 2.5; model.padding takes whole numbers"),
        ("model.blocks", {"low": 1, "high": 3, "step": 0.5}, ".step: got 0.5; model.blocks takes whole numbers"),
        (
            "model.filters",
            {"low": 8, "high": 60, "step": 16},
            ".high: 60 cannot be reached from 8 in steps of 16; give high 56 or 72",
        ),
        (
            "model.dropout",
            {"low": 0.1, "high": 0.5, "step": 0.15},
            ".high: 0.5 cannot be reached from 0.1 in steps of 0.15; give high 0.4 or 0.55",
        ),
        (
            "model.filter_organisation",
            {"low": 1, "high": 2},
            ": low and high need a numeric field; model.filter_organisation takes one of: same, double, halve: give",
        ),
        ("model.dropout", {"low": 0, "high": 1}, ".high: got 1; expected a number (at least 0 and below 1)"),
        ("model.filters", {"low": 0, "high": 8}, ".low: got 0; expected a whole number (1 to 65,536)"),
        ("model.padding", {"choices": ["same", "sane"]}, ".choices[1]: got 'sane'; expected a whole number"),
        ("model.activation", {"choices": ["relu", "rleu"]}, ".choices[1]: unknown value 'rleu'; did you mean `relu`?"),
        ("model.name", {"choices": ["cnn", "cmn"]}, ".choices[1]: unknown name 'cmn'; did you mean `cnn`?"),
        ("model.filters", {"choices": [8, True]}, ".choices[1]: got True; expected a whole number (1 to 65,536)"),
        ("model.filters", {"choices": [[8]]}, ".choices[0]: got [8]; expected a whole number"),
    ],
)
def test_values_that_make_no_trial(path, parameter, expected):
    (problem,) = found({path: parameter})
    assert problem.startswith(path + expected)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("model.padding", {"low": 0, "high": 2}),
        ("model.padding", {"choices": ["same", 0, 1]}),
        ("model.dropout", {"low": 0, "high": 0.9, "step": 0.1}),
        ("model.filters", {"low": 8, "high": 64, "step": 8}),
        ("model.filters", {"low": 8.0, "high": 64.0}),
        ("model.filters", {"low": 8, "high": 8}),
        ("training.gradient_clip", {"choices": [None, 1.0]}),
        ("optimizer.weight_decay", {"low": 1e-6, "high": 1, "log": True}),
    ],
)
def test_values_that_do(path, parameter):
    assert found({path: parameter}) == []


OPTIMIZERS = {"optimizer.name": {"choices": ["sgd", "adam", "rmsprop", "adamw"]}}


def test_a_field_that_not_every_variant_has_needs_a_condition():
    assert found(
        OPTIMIZERS | {"optimizer.momentum": {"low": 0, "high": 0.9}, "optimizer.alpha": {"choices": [0.9]}}
    ) == [
        "optimizer.momentum: does not exist for optimizer.name adam, adamw; "
        "add `when: {optimizer.name: [sgd, rmsprop]}`",
        "optimizer.alpha: does not exist for optimizer.name sgd, adam, adamw; add `when: {optimizer.name: rmsprop}`",
    ]


def test_the_condition_to_write_keeps_what_is_there():
    when = {"model.activation": ["relu"], "optimizer.name": ["sgd", "adam"]}
    space = OPTIMIZERS | {"model.activation": {"choices": ["relu", "elu"]}}
    assert found(space | {"optimizer.momentum": {"low": 0, "high": 0.9, "when": when}}) == [
        "optimizer.momentum: does not exist for optimizer.name adam; "
        "add `when: {model.activation: [relu], optimizer.name: sgd}`"
    ]


def test_the_condition_makes_it_right():
    when = {"optimizer.name": ["sgd", "rmsprop"]}
    assert found(OPTIMIZERS | {"optimizer.momentum": {"low": 0, "high": 0.9, "when": when}}) == []


def test_a_condition_may_stand_for_the_variant_through_another_parameter():
    space = {
        "model.name": {"choices": ["cnn", "conv_net"], "when": {"model.batch_norm": True}},
        "model.batch_norm": {"choices": [True, False]},
        "model.filters": {"choices": [8], "when": {"model.batch_norm": False}},
    }
    assert found(space) == []


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"optimizer.nam": "sgd"}, ".optimizer.nam: no such parameter; did you mean `optimizer.name`?"),
        ({"zzz": "sgd"}, ".zzz: no such parameter; parameters of the space: optimizer.name, "),
        (
            {"optimizer.name": "sdg"},
            ".optimizer.name: optimizer.name is never 'sdg'; did you mean `sgd`? One of: sgd, adam, rmsprop, adamw",
        ),
        (
            {"optimizer.name": ["sgd", "nadam"]},
            ".optimizer.name: optimizer.name is never 'nadam'; did you mean `adam`?",
        ),
        ({"optimizer.name": []}, ".optimizer.name: is empty; give the value"),
        ({"training.batch_size": 7}, ".training.batch_size: training.batch_size is never 7; it ranges from 8 to 16"),
        (
            {"training.batch_size": "8"},
            ".training.batch_size: training.batch_size is never '8'; it ranges from 8 to 16",
        ),
        (
            {"model.batch_norm": False},
            ".model.batch_norm: never holds: model.batch_norm is True in the base and does not vary in the space",
        ),
        ({"model.dropout": 0.1}, ": is circular: model.dropout -> model.dropout"),
    ],
)
def test_conditions_that_cannot_hold(when, expected):
    sizes = {"training.batch_size": {"low": 8, "high": 16}}
    (problem,) = found(OPTIMIZERS | sizes | {"model.dropout": {"choices": [0.1, 0.2], "when": when}})
    assert problem.startswith("model.dropout.when" + expected)


def test_conditions_that_exclude_one_another():
    space = OPTIMIZERS | {
        "optimizer.momentum": {"low": 0, "high": 0.9, "when": {"optimizer.name": "sgd"}},
        "model.dropout": {"choices": [0.1], "when": {"optimizer.name": "adam", "optimizer.momentum": 0.5}},
    }
    assert found(space) == ["model.dropout.when: these conditions can never all hold"]


def test_conditions_in_a_circle():
    space = {
        "training.batch_size": {"choices": [8], "when": {"training.max_epochs": 3}},
        "training.max_epochs": {"choices": [3], "when": {"training.batch_size": 8}},
    }
    (problem,) = found(space)
    assert "when: is circular: training." in problem


def test_fields_that_go_together_only_under_a_condition():
    head = {"model.head": {"choices": ["linear", "mlp"]}}
    backbone = {"name": "backbone"}
    assert found(head, model=backbone) == ["model.head.choices[1]: head mlp needs head_units, for example [128]"]
    assert found(head | {"model.head_units": {"choices": [[64], [128]]}}, model=backbone) == [
        "model.head.choices[0]: head_units is for the heads mlp and conv; head is linear"
    ]
    conditional = {"model.head_units": {"choices": [[64], [128]], "when": {"model.head": "mlp"}}}
    assert found(head | conditional, model=backbone) == []


def test_values_that_go_together_with_some_of_the_others_are_kept():
    space = {"optimizer.nesterov": {"choices": [True, False]}, "optimizer.momentum": {"low": 0, "high": 0.9}}
    assert found(space, optimizer={"name": "sgd"}) == []


def test_a_wrong_choice_is_said_once_and_not_of_others():
    space = {
        "model.activation": {"choices": ["rleu", "relu"]},
        "model.filters": {"choices": [8, 16]},
        "model.dropout": {"low": 0, "high": 0.5, "when": {"model.activation": "relu"}},
    }
    assert [problem.split(":")[0] for problem in found(space)] == ["model.activation.choices[0]"]


def test_what_depends_on_an_unreadable_parameter_is_not_judged():
    study = make_study(
        {"optimizer.momentum": {"low": 0, "high": 2, "when": {"optimizer.name": "sgd"}}}, optimizer={"name": "sgd"}
    )
    assert list(check_space(study, unreadable=["optimizer.name"])) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model.fliters": 3}, "model.fliters: no such field; did you mean `model.filters`?"),
        ({"model.filters": 0}, "model.filters: got 0; expected a whole number (1 to 65,536)"),
        ({"optimizer.name": "adam", "optimizer.momentum": 0.5}, "optimizer.momentum: unknown key"),
        ({"data.root": "x"}, "data.root: cannot vary: all trials must see the same images"),
    ],
)
def test_first_configurations_that_make_no_trial(values, expected):
    good = {"model.filters": 8, "optimizer.name": "sgd", "optimizer.momentum": 0.5}
    study = make_study({"model.filters": {"choices": [8]}}, search={"first": [good, values]})
    (problem,) = check_first(study)
    assert str(problem).startswith(f"search.first[1].{expected}")

import timeit
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.composition import (
    compose,
    composition_problems,
    condition_cycle,
    is_active,
    parameter_kind,
    parameter_order,
)
from search_spaces.fields import field_paths, has_variants, owners, variants
from search_spaces.schema import Parameter, StudyConfig
from search_spaces.space_checks import check_space
from tests.search_spaces.active import active_values
from trainables.config import DataConfig, TrialConfig
from trainables.config.models import CnnConfig, ConvNetConfig
from trainables.config.optimizer import AdamConfig, SgdConfig
from trainables.config.schedule import StepConfig
from trainables.errors import InfeasibleError, InputError


def make_study(space: dict[str, Any], **base: Any) -> StudyConfig:
    return StudyConfig.model_validate({"name": "s", "data": {"dataset": "digits"}, "space": space} | base)


SGD_OR_ADAM = {
    "optimizer.momentum": {"low": 0, "high": 0.9, "when": {"optimizer.name": "sgd"}},
    "optimizer.name": {"choices": ["sgd", "adam"]},
}


def test_no_values_give_the_base():
    study = make_study(SGD_OR_ADAM, model={"name": "cnn", "filters": 8}, training={"max_epochs": 3})
    trial = compose(study, {})
    assert type(trial) is TrialConfig
    assert trial == TrialConfig.model_validate(
        {"data": {"dataset": "digits"}, "model": {"name": "cnn", "filters": 8}, "training": {"max_epochs": 3}}
    )


def test_values_are_set_and_the_rest_kept():
    study = make_study(SGD_OR_ADAM, optimizer={"name": "sgd", "learning_rate": 0.5, "momentum": 0.3})
    trial = compose(study, {"optimizer.momentum": 0.7, "model.filters": 5, "augmentation.horizontal_flip": 0.5})
    assert trial.optimizer == SgdConfig(learning_rate=0.5, momentum=0.7)
    assert trial.model == CnnConfig(filters=5)
    assert trial.augmentation.horizontal_flip == 0.5


def test_a_new_variant_takes_over_the_fields_it_has():
    study = make_study(SGD_OR_ADAM, optimizer={"name": "sgd", "learning_rate": 0.5, "momentum": 0.3})
    assert compose(study, {"optimizer.name": "adam"}).optimizer == AdamConfig(learning_rate=0.5)


def test_only_what_the_file_sets_is_taken_over():
    study = make_study(SGD_OR_ADAM, model={"name": "cnn", "dense_units": 3, "kernel_size": 5})
    assert study.model.batch_norm
    assert compose(study, {"model.name": "conv_net"}).model == ConvNetConfig(kernel_size=5, batch_norm=False)


def test_a_default_section_can_change_its_variant():
    trial = compose(make_study(SGD_OR_ADAM), {"schedule.name": "step", "schedule.gamma": 0.3})
    assert trial.schedule == StepConfig(gamma=0.3)


def test_a_study_made_in_code_need_not_name_its_variants():
    study = StudyConfig(
        name="s",
        data=DataConfig(dataset="digits"),
        model=CnnConfig(filters=5),
        space={"model.blocks": Parameter(low=1, high=2)},
    )
    assert compose(study, {}).model == CnnConfig(filters=5)
    assert compose(study, {"model.blocks": 2}).model == CnnConfig(filters=5, blocks=2)


def test_a_study_composes_the_same_after_it_was_written_down():
    study = make_study(SGD_OR_ADAM, model={"name": "cnn", "kernel_size": 5})
    again = StudyConfig.model_validate(study.model_dump(mode="json", exclude_unset=True))
    assert compose(again, {"model.name": "conv_net"}) == compose(study, {"model.name": "conv_net"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer.name": "adam", "optimizer.momentum": 0.5}, "optimizer.momentum: unknown key"),
        ({"optimizer.name": "sdg"}, "optimizer.name: unknown name 'sdg'; did you mean `sgd`?"),
        ({"optimizer.name": ["sgd"]}, "optimizer.name: unknown name"),
        ({"model.filters": 0}, "model.filters: got 0; expected a whole number (1 to 65,536)"),
        ({"optimizer.nesterov": True}, "optimizer: nesterov needs momentum above 0"),
    ],
)
def test_values_that_make_no_trial_are_infeasible(values, message):
    study = make_study(SGD_OR_ADAM, optimizer={"name": "sgd"})
    with pytest.raises(InfeasibleError) as caught:
        compose(study, values)
    assert str(caught.value).startswith(message)
    assert "; ".join(map(str, composition_problems(study, values))) == str(caught.value)


def test_composition_takes_well_under_a_millisecond():
    study = make_study(SGD_OR_ADAM)
    values = {"optimizer.name": "adam", "model.filters": 16, "training.batch_size": 8}
    assert min(timeit.repeat(lambda: compose(study, values), number=100, repeat=5)) / 100 < 0.001


def test_parameters_come_after_those_they_depend_on_else_as_written():
    space = {
        "model.filters": {"choices": [8]},
        "optimizer.momentum": {"low": 0, "high": 0.9, "when": {"optimizer.name": "sgd"}},
        "optimizer.name": {"choices": ["sgd"], "when": {"model.activation": ["relu"]}},
        "model.activation": {"choices": ["relu", "elu"]},
    }
    study = make_study(space)
    order = parameter_order(study)
    assert sorted(order) == sorted(space)
    assert order.index("model.activation") < order.index("optimizer.name") < order.index("optimizer.momentum")
    assert condition_cycle(study) == ()


def test_conditions_in_a_circle_have_no_order():
    study = make_study(
        {
            "model.blocks": {"choices": [1], "when": {"model.filters": 8}},
            "model.filters": {"choices": [8], "when": {"model.blocks": 1}},
        }
    )
    assert set(condition_cycle(study)) == {"model.blocks", "model.filters"}
    with pytest.raises(InputError, match="circular `when`: model"):
        parameter_order(study)


def test_a_parameter_exists_where_its_condition_holds():
    study = make_study(SGD_OR_ADAM)
    assert is_active(study, "optimizer.name", {})
    assert is_active(study, "optimizer.momentum", {"optimizer.name": "sgd"})
    assert not is_active(study, "optimizer.momentum", {"optimizer.name": "adam"})
    assert not is_active(study, "optimizer.momentum", {})


def test_every_condition_must_hold_by_any_of_its_values():
    study = make_study(
        {
            "model.blocks": {"choices": [1, 2, 3]},
            "model.filters": {"choices": [8, 16]},
            "model.dropout": {"low": 0, "high": 1, "when": {"model.blocks": [2, 3], "model.filters": 8}},
        }
    )
    active = [
        (blocks, filters)
        for blocks in (1, 2, 3)
        for filters in (8, 16)
        if is_active(study, "model.dropout", {"model.blocks": blocks, "model.filters": filters})
    ]
    assert active == [(2, 8), (3, 8)]


def test_a_condition_on_a_base_field_is_constant():
    space = {"model.dropout": {"low": 0, "high": 0.5, "when": {"model.batch_norm": True, "optimizer.name": ["adamw"]}}}
    assert is_active(make_study(space), "model.dropout", {})
    assert not is_active(make_study(space, model={"name": "cnn", "batch_norm": False}), "model.dropout", {})
    assert not is_active(make_study(space, model={"name": "softmax_regression"}), "model.dropout", {})


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("model.filters", "int"),
        ("model.padding", "int"),
        ("model.freeze_depth", "int"),
        ("model.dropout", "float"),
        ("optimizer.learning_rate", "float"),
        ("training.gradient_clip", "float"),
        ("data.image_size", "int"),
    ],
)
def test_the_field_decides_what_a_range_draws(path, kind):
    assert parameter_kind(path) == kind


@pytest.mark.parametrize("path", ["model.activation", "model.batch_norm", "model.convolutions", "model.nothing", "x"])
def test_fields_without_numbers_have_no_range(path):
    with pytest.raises(ValueError, match=f"{path} does not take a number"):
        parameter_kind(path)


# Random spaces over every field whose values are independent of other fields.

_SECTIONS = ("model", "optimizer", "schedule", "augmentation", "training")
_DEPENDENT = {"optimizer.nesterov", "model.head", "model.head_units", "model.pool_after", "training.checkpoint_seconds"}
_VARIANT_NAMES = {section: list(variants(section)) for section in _SECTIONS if has_variants(section)}


def _values_of(path: str) -> st.SearchStrategy[Any]:
    """Valid values of a field, from the schema of the first variant that has it."""
    cls = next(iter(owners(path).values()))
    schema = cls.model_json_schema()["properties"][path.partition(".")[2]]
    schema = schema.get("anyOf", [schema])[0]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema["minimum"], min(300, schema["maximum"]))
        case "number":
            high = schema.get("maximum", schema.get("exclusiveMaximum", 2.0))
            return st.floats(0.01, high * 0.99)
        case "array":
            return st.lists(st.integers(1, 64), min_size=2, max_size=3)  # conv_net pools after 2
    return st.sampled_from(["a", "b"])


@st.composite
def _parameters(draw: st.DrawFn, path: str) -> dict[str, Any]:
    values = draw(st.lists(_values_of(path), min_size=2, max_size=4, unique_by=repr))
    is_range = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if is_range and draw(st.booleans()):
        low, high = min(values), max(values)
        return {"low": low, "high": high, "log": low > 0 and draw(st.booleans())}
    return {"choices": values}


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    space: dict[str, Any] = {}
    for section, names in _VARIANT_NAMES.items():
        space[f"{section}.name"] = {"choices": draw(st.lists(st.sampled_from(names), min_size=1, unique=True))}
    fields = [path for section in _SECTIONS for path in field_paths(section)]
    free = [path for path in fields if path not in _DEPENDENT and not path.endswith(".name")]
    for path in draw(st.lists(st.sampled_from(free), max_size=12, unique=True)):
        section = path.partition(".")[0]
        parameter = draw(_parameters(path))
        if section in _VARIANT_NAMES:
            having = [name for name in space[f"{section}.name"]["choices"] if name in owners(path)]
            if not having:
                continue
            parameter["when"] = {f"{section}.name": having}
        space[path] = parameter
    return dict(draw(st.permutations(list(space.items()))))


def _draw_values(draw: st.DrawFn, study: StudyConfig) -> dict[str, Any]:
    """What a searcher that knows nothing of conditions might propose: a value for every parameter."""
    values: dict[str, Any] = {}
    for path, parameter in study.space.items():
        if parameter.choices is not None:
            values[path] = draw(st.sampled_from(parameter.choices))
        elif parameter_kind(path) == "int":
            values[path] = draw(st.integers(int(parameter.low), int(parameter.high)))
        else:
            values[path] = draw(st.floats(parameter.low, parameter.high))
    return values


@given(space=spaces(), data=st.data())
def test_random_spaces_pass_the_checks_and_compose_to_what_was_drawn(space, data):
    study = make_study(space)
    assert list(check_space(study)) == []
    values = active_values(study, _draw_values(data.draw, study))
    trial = compose(study, values).model_dump(mode="json")
    for path, value in values.items():
        section, _, field = path.partition(".")
        assert trial[section][field] == value
    assert TrialConfig.model_validate(trial) == compose(study, values)

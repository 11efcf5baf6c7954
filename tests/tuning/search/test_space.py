from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.schema import Parameter, StudyConfig, Value
from trainables.config import TrialConfig
from tuning.search.space import Space, Steps, make_domain


def parameter(**content: Any) -> Parameter:
    return Parameter.model_validate(content)


@pytest.mark.parametrize(
    ("path", "content", "values"),
    [
        ("model.filters", {"low": 8, "high": 14, "step": 3}, [8, 11, 14]),
        ("model.filters", {"low": 2, "high": 4, "log": True}, [2, 3, 4]),
        ("model.dropout", {"low": 0, "high": 0.6, "step": 0.1}, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ("model.dropout", {"low": 0.25, "high": 0.25}, [0.25]),
        ("model.hidden", {"choices": [[1], [1, 2]]}, [[1], [1, 2]]),
        ("training.gradient_clip", {"choices": [None, 1.0, True]}, [None, 1.0, True]),
    ],
)
def test_every_value_is_suggested_as_written_and_encoded_back(path: str, content: Any, values: list[Value]) -> None:
    domain = make_domain(path, parameter(**content))
    assert list(domain.values or ()) == values
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for value in values:
        code = domain.encode(value)
        study.enqueue_trial({path: code})
        suggested = domain.suggest(study.ask(), path)
        assert suggested == value
        assert type(suggested) is type(value)


def test_a_continuous_range_has_no_values_and_gives_floats() -> None:
    domain = make_domain("optimizer.learning_rate", parameter(low=1, high=2))
    assert domain.values is None
    assert domain.encode(1) == 1.0
    assert domain.encode(3) is None
    assert domain.encode("1") is None
    assert domain.encode(True) is None


def test_what_lies_outside_is_not_encoded() -> None:
    domain = make_domain("model.filters", parameter(choices=[1, 2]))
    assert [domain.encode(value) for value in (1, 1.0, True, 3, None)] == [0, 0, None, None, None]
    assert make_domain("model.filters", parameter(low=1, high=5, step=2)).encode(2) is None


def test_values_of_a_configuration_are_those_of_the_parameters_that_exist_in_it() -> None:
    space = {
        "optimizer.name": {"choices": ["sgd", "adamw"]},
        "optimizer.momentum": {"choices": [0.0, 0.9], "when": {"optimizer.name": "sgd"}},
        "model.convolutions": {"choices": [[8], [8, 8]]},
    }
    base = {"data": {"dataset": "digits"}, "model": {"name": "conv_net", "convolutions": [8, 8]}}
    searched = Space(StudyConfig.model_validate({**base, "name": "s", "space": space}))
    config = TrialConfig.model_validate(base)
    assert searched.values_of(config) == {"optimizer.name": "adamw", "model.convolutions": [8, 8]}
    assert searched.encode(searched.values_of(config)) == {"optimizer.name": 1, "model.convolutions": 1}


@given(low=st.integers(-1000, 1000), step=st.integers(1, 1000), count=st.integers(1, 200), scale=st.integers(0, 8))
def test_steps_are_those_that_decimals_make(low: int, step: int, count: int, scale: int) -> None:
    steps = Steps(low / 10**scale, (low + step * (count - 1)) / 10**scale, step / 10**scale)
    expected = [(low + step * index) / 10**scale for index in range(count)]
    assert list(steps) == expected
    assert [steps.index(value) for value in expected] == list(range(count))
    assert expected[0] + step / 10**scale / 2 not in steps
    assert expected[-1] + step / 10**scale not in steps
    assert steps[1:3] == expected[1:3]
    assert "0.1" not in steps


def test_a_million_steps_are_not_listed() -> None:
    domain = make_domain("model.dropout", parameter(low=0, high=0.5, step=5e-7))
    assert domain.encode(0.25) == 500_000
    assert len(domain.values or ()) == 1_000_001
    with pytest.raises(ValueError, match="is not among the steps"):
        Steps(0.0, 1.0, 0.1).index(0.15)

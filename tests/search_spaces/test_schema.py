import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from search_spaces.schema import Duration, Parameter, SearchConfig, StudyConfig

DURATION = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("8h", 28800),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        ("1.5h", 5400),
        (60, 60),
        (0.5, 0.5),
    ],
)
def test_durations(written, seconds):
    assert DURATION.validate_python(written) == seconds


@pytest.mark.parametrize("written", ["", "h", "8", "8 hours", "1m1h", "-5m", "0s", 0, -1])
def test_what_is_no_duration(written):
    with pytest.raises(ValidationError):
        DURATION.validate_python(written)


@given(hours=st.integers(0, 99), minutes=st.integers(0, 99), seconds=st.integers(1, 99))
def test_durations_add_up(hours, minutes, seconds):
    assert DURATION.validate_python(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "give choices: [...], or both low and high"),
        ({"low": 1}, "give choices: [...], or both low and high"),
        ({"choices": [1], "low": 1}, "give either choices, or low and high"),
        ({"choices": [1], "log": True}, "give either choices, or low and high"),
        ({"low": 2, "high": 1}, "low 2 is above high 1"),
        ({"low": 0, "high": 1, "log": True}, "log needs low above 0, got 0"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "log and step cannot be combined"),
        ({"low": 1, "high": 2, "step": 0}, "step must be above 0, got 0"),
    ],
)
def test_parameters_are_choices_or_a_range(content, message):
    with pytest.raises(ValidationError) as caught:
        Parameter.model_validate(content)
    assert message in str(caught.value)


def test_the_direction_follows_the_objective():
    assert SearchConfig(objective="val_accuracy").mode == "max"
    assert SearchConfig(objective="val_loss").mode == "min"


@pytest.mark.parametrize("name", ["a", "inat-cnn", "A.b_c-1", "0"])
def test_names(name):
    assert StudyConfig(name=name, data={"dataset": "digits"}, space={"model.filters": {"choices": [1]}}).name == name


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a/b", "a b", "ä", "a" * 101, "a\n"])
def test_what_is_no_name(name):
    with pytest.raises(ValidationError):
        StudyConfig.model_validate(
            {"name": name, "data": {"dataset": "digits"}, "space": {"model.filters": {"choices": [1]}}}
        )

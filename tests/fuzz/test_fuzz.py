"""Whatever a study file or an override holds, `plan` succeeds or says what is wrong. `make fuzz` tries thousands."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from search_spaces.json_schema import study_schema
from search_spaces.yaml_file import parse
from tests.fuzz.answers import Unread, answer
from tests.fuzz.strategies import overrides, studies, texts, written

EXAMPLES = int(os.environ.get("TUNE_FUZZ_EXAMPLES", "70"))

pytestmark = pytest.mark.timeout(60 + EXAMPLES)

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

SCHEMA = Draft202012Validator(study_schema())

GOOD = "name: s\ndata: {dataset: digits}\nspace: {model.filters: {choices: [1, 2]}}\n"


@fuzzed
@given(text=texts())
def test_texts(text: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    answer(file)


@fuzzed
@given(content=studies())
def test_contents(content: object, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(written(content))
    answer(file)


@fuzzed
@given(content=studies())
def test_what_is_taken_is_valid_by_the_schema(content: object, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    text = re.sub(r'"(-?[0-9][0-9.e+-]*)"', r"\1", written(content))  # a number in quotes is text to the schema
    file.write_text(text)
    if answer(file) is None:
        assert [error.message for error in SCHEMA.iter_errors(parse(text, Unread()).content)] == []


@fuzzed
@given(given_=st.lists(overrides, min_size=1, max_size=3))
@example(given_=["\udcff=1"])
@example(given_=["name=\udcff"])
@example(given_=["a.b.c.d=" + "x" * 300_000])
def test_overrides(given_: list[str], tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(GOOD)
    answer(file, given_)

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.yaml_file import parse


def value(written: str, **environment: str) -> object:
    document = parse(f"key: {written}\n", environment)
    assert document.problems == []
    return document.content["key"]


def said(text: str, **environment: str) -> list[str]:
    return [f"{line}: {problem}" for line, problem in parse(text, environment).problems]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1e-4", 1e-4), ("1e3", 1000.0), ("1E+3", 1000.0), ("-1.5e-2", -0.015), (".5", 0.5), ("1.", 1.0), ("3", 3),
        ("-3", -3), ("+3", 3), ("1_000", 1000), ("010", 10), ("00", 0), (".inf", math.inf), ("-.inf", -math.inf),
        ("true", True), ("yes", True), ("on", True), ("no", False), ("off", False), ("False", False),
        ("null", None), ("~", None), ("", None), ("none", "none"), ("y", "y"), ("n", "n"),
        ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("0x10", "0x10"), ("8h", "8h"), ("1e", "1e"), ("e3", "e3"),
        ("'1e-4'", "1e-4"), ('"yes"', "yes"), ("=", "="), ("[1, 1e1, a]", [1, 10.0, "a"]), ("!!str 3", "3"),
    ],
)  # fmt: skip
def test_scalars_are_what_a_person_means(written, expected):
    result = value(written)
    assert result == expected
    assert type(result) is type(expected)


def test_not_a_number_is_a_number():
    assert math.isnan(value(".nan"))


@given(number=st.floats(allow_nan=False))
def test_floats_come_back(number):
    assert value(repr(number).replace("inf", ".inf")) == number


@given(number=st.integers(-(2**63), 2**63))
def test_integers_come_back(number):
    assert value(str(number)) == number


def test_every_key_and_item_has_its_line():
    document = parse("a:\n  b: 1\n  c.d:\n    - x\n    - {e: 2}\nf: {g: 3,\n  h: 4}\n", {})
    assert document.content == {"a": {"b": 1, "c.d": ["x", {"e": 2}]}, "f": {"g": 3, "h": 4}}
    assert document.lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c.d"): 3,
        ("a", "c.d", 0): 4,
        ("a", "c.d", 1): 5,
        ("a", "c.d", 1, "e"): 5,
        ("f",): 6,
        ("f", "g"): 6,
        ("f", "h"): 7,
    }


def test_keys_are_text():
    assert parse("3: a\ntrue: b\n", {}).content == {"3": "a", "true": "b"}


def test_duplicates_are_all_named_and_the_first_kept():
    document = parse("a: 1\nb: {c: 1, d: 2, c: 3}\na: 2\na: 3\n", {})
    assert [f"{line}: {problem}" for line, problem in document.problems] == [
        "2: b.c: written twice, first on line 2; keep one",
        "3: a: written twice, first on line 1; keep one",
        "4: a: written twice, first on line 1; keep one",
    ]
    assert document.content == {"a": 1, "b": {"c": 1, "d": 2}}


def test_anchors_aliases_and_merge_keys():
    document = parse("a: &a {x: 1, y: 2}\nb: *a\nc:\n  y: 3\n  <<: *a\nd: {<<: [{x: 5}, *a]}\n", {})
    assert document.problems == []
    assert document.content == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 2},
        "c": {"x": 1, "y": 3},
        "d": {"x": 5, "y": 2},
    }
    assert document.lines["c", "y"] == 4


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text", [BOMB, MERGE_BOMB, "a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a {<<: *a}\n", "[" * 100 + "]" * 100]
)
def test_what_explodes_is_refused_at_once(text):
    (problem,) = said(text)
    assert re.search("not YAML: (more than 20,000 values|(aliases nest it|nested) more than 50 deep)", problem)


def test_nesting_beyond_the_stack_is_refused():
    assert said("[" * 20_000) == ["1: not YAML: nested more than 50 deep"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c\n", "1: not YAML: mapping values are not allowed here; put quotes around a value that contains `: `"),
        ("a:\n\tb: 1\n", "2: not YAML: while scanning for the next token"),
        ("a: 1\n---\nb: 2\n", "2: not YAML: expected a single document in the stream"),
        ("a: *b\n", "1: not YAML: found undefined alias 'b'"),
        ("a: 'x\n", "2: not YAML: while scanning a quoted scalar that begins on line 1"),
        ("? [1]\n: 2\n", "1: not YAML: a key must be plain text"),
        ("<<: 3\n", "1: not YAML: << takes a mapping"),
        ("a: \x00\n", "1: not YAML: unacceptable character"),
        (
            "a: !!python/object/apply:os.getcwd []\n",
            "1: not YAML: the tag !!python/object/apply:os.getcwd is not supported",
        ),
        ("a: !!python/name:os.getcwd x\n", "1: not YAML: the tag !!python/name:os.getcwd is not supported"),
        ("a: !own {b: 1}\n", "1: not YAML: the tag !own is not supported"),
        ("a: !!binary eA==\n", "1: not YAML: the tag !!binary is not supported"),
        ("a: !!int x\n", "1: not YAML: 'x' is not a whole number of at most 64 bits"),
        ("a: !!bool x\n", "1: not YAML: 'x' is not true or false"),
        (
            "a: " + "9" * 5000 + "\n",
            f"1: not YAML: '{'9' * 40}' is not a whole number of at most 64 bits",
        ),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(text, expected):
    (problem,) = said(text)
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("written", "environment", "expected"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("${A}", {"A": "3"}, 3),
        ("'${A}'", {"A": "3"}, "3"),
        ('"${A}"', {"A": "1e-4"}, "1e-4"),
        ("${A}", {"A": "1e-4"}, 1e-4),
        ("${A}", {"A": "true"}, True),
        ("${A}", {"A": ""}, None),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-d}", {"A": "x"}, "x"),
        ("${A:-}", {}, None),
        ("${A:-5}", {}, 5),
        ("${A:-a/b c}/${B}", {"B": "e"}, "a/b c/e"),
        ("{x: ${A:-a, b}, y: [${B}, 1]}", {"B": "2"}, {"x": "a, b", "y": [2, 1]}),
        ("${A}", {"A": "[1, 2]: {#"}, "[1, 2]: {#"),
        ("${A}", {"A": "${B}"}, "${B}"),
        ("$A", {"A": "x"}, "$A"),
        ("1 # ${NOT_SET} in a comment", {}, 1),
    ],
)
def test_variables(written, environment, expected):
    result = value(written, **environment)
    assert result == expected
    assert type(result) is type(expected)


def test_a_variable_cannot_bring_in_structure():
    assert value("${A}", A="x\nother: 1") == "x\nother: 1"


def test_variables_that_cannot_be_read_are_all_named():
    assert said("a: ${A}\nb: ['${B:=x}', '${C}${D}']\n", C="1") == [
        "1: a: the environment variable A is not set; set it, or write ${A:-default}",
        "2: b[0]: cannot read ${B:=x}; write ${NAME} or ${NAME:-default}",
        "2: b[1]: the environment variable D is not set; set it, or write ${D:-default}",
    ]


def test_variables_are_not_for_keys():
    assert said("${A}: 1\n", A="x") == ["1: not YAML: an environment variable can be a value, not a key"]


@given(text=st.text())
def test_any_text_is_answered(text):
    parse(text, {})

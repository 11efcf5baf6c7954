from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from search_spaces.messages import KeyProblem, choose_from, dotted, explain, misplaced_booleans, nearest
from trainables.config.base import Config

PositiveInt = Annotated[int, Field(ge=1)]


class Cat(Config):
    kind: Literal["cat"] = "cat"
    name: Literal["cat"] = "cat"
    lives: PositiveInt = 9


class Dog(Config):
    name: Literal["dog"] = "dog"
    tricks: tuple[str, ...] = ()


class Home(Config):
    pet: Annotated[Cat | Dog, Field(discriminator="name")]
    rooms: dict[str, PositiveInt] = Field(default_factory=dict)
    floor: int | Literal["attic"] = 0
    rent: float | None = None


def said(content: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Home.model_validate(content)
    return [str(problem) for problem in explain(caught.value, Home)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "pet: is missing; give a mapping"),
        ({"pet": 3}, "pet: got 3; expected a mapping"),
        ({"pet": {}}, "pet.name: is missing; one of: cat, dog"),
        ({"pet": {"name": "cow"}}, "pet.name: unknown name 'cow'; one of: cat, dog"),
        ({"pet": {"name": "dot"}}, "pet.name: unknown name 'dot'; did you mean `dog`? One of: cat, dog"),
        ({"pet": {"name": "cat", "live": 3}}, "pet.live: unknown key; did you mean `lives`? One of: kind, name, lives"),
        ({"pet": {"name": "cat", "lives": 0}}, "pet.lives: got 0; expected a whole number (at least 1)"),
        ({"pet": {"name": "dog", "tricks": ["a", 3]}}, "pet.tricks[1]: got 3; expected text; put quotes around it"),
        ({"pet": {"name": "dog", "tricks": 3}}, "pet.tricks: got 3; expected a list, each text"),
        ({"pet": {"name": "cat"}, "rooms": {"a.b": "x"}}, "rooms.a.b: got 'x'; expected a whole number (at least 1)"),
        ({"pet": {"name": "cat"}, "floor": "cellar"}, "floor: got 'cellar'; expected a whole number or `attic`"),
        ({"pet": {"name": "cat"}, "rent": "much"}, "rent: got 'much'; expected a number"),
        ({"pet": {"name": "cat"}, "rent": "x" * 100}, f"rent: got '{'x' * 76}...; expected a number"),
        ({"pet": {"name": "cat"}, "rnt": 3}, "rnt: unknown key; did you mean `rent`? One of: pet, rooms, floor, rent"),
    ],
)
def test_each_problem_in_words(content, expected):
    assert said(content) == [expected]


def test_all_problems_at_once():
    assert len(said({"pet": {"name": "cat", "lives": -1, "x": 1}, "rooms": 3, "rent": []})) == 4


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        ({"pet": {"name": "cat", "lives": True}}, ["pet.lives"]),
        ({"rooms": {"hall": False}, "floor": True, "rent": True}, ["rooms.hall", "floor", "rent"]),
        ({"pet": {"name": "dog", "tricks": [True]}}, []),
        ({"pet": True, "rent": 3, "nothing": True}, []),
        ({"pet": {"name": ["x"], "lives": True}}, []),
    ],
)
def test_booleans_are_no_numbers(content, paths):
    assert [dotted(problem.path) for problem in misplaced_booleans(content, Home)] == paths


def test_paths_read_like_the_file():
    assert dotted(("space", "model.filters", "choices", 0)) == "space.model.filters.choices[0]"
    assert str(KeyProblem((), "is empty")) == "is empty"


def test_the_nearest_word():
    assert nearest("max_epoch", ["max_epochs", "batch_size"]) == "max_epochs"
    assert nearest("zzz", ["max_epochs"]) is None
    assert nearest(3, ["30"]) == "30"
    assert choose_from("zzz", iter(["a", "b"])) == "one of: a, b"

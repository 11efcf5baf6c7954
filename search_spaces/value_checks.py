"""Whether each value of a space can make a valid trial, under every condition under which its parameter exists."""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from random import Random
from typing import Any

import yaml

from search_spaces.composition import allowed_values, composition_problems, is_active, parameter_order
from search_spaces.fields import has_variants, owners, variants
from search_spaces.messages import KeyPath, KeyProblem
from search_spaces.schema import Parameter, StudyConfig

_MAX_CONTEXTS = 200
"""Combinations of conditions under which one parameter is tried; real studies have a handful."""

_DRAWS = 16
"""Draws of the other parameters before a value is called impossible."""


def value_problems(study: StudyConfig, path: str, unsound: Collection[str]) -> Iterator[KeyProblem]:
    """Values that make no valid trial, each tried under every condition under which the parameter exists."""
    section, _, field = path.partition(".")
    contexts = list(islice(_contexts(study, path), _MAX_CONTEXTS))
    if not contexts:
        yield KeyProblem(("space", path, "when"), "can never be met as a whole")
        return
    if has_variants(section):
        base_name = getattr(study, section).name
        chosen = dict.fromkeys(context.get(f"{section}.name", base_name) for context in contexts)
        names = [name for name in chosen if name in variants(section)]  # a wrong name is a problem of its own line
        lacking = [name for name in names if name not in owners(path)] if field != "name" else []
        if lacking:
            yield _needs_when(study.space[path], path, lacking, [name for name in names if name not in lacking])
            return
    for key, value in _extremes(study.space[path]):
        for context in contexts:
            message = _refusal(study, path, context | {path: value}, unsound)
            if message:
                yield KeyProblem(("space", path, *key), message)
                break


def _needs_when(parameter: Parameter, path: str, lacking: list[str], having: list[str]) -> KeyProblem:
    section = path.partition(".")[0]
    key = f"{section}.name"
    when = (parameter.when or {}) | {key: having[0] if len(having) == 1 else having}
    written = yaml.safe_dump({"when": when}, default_flow_style=True, sort_keys=False, width=1000).strip()[1:-1]
    return KeyProblem(("space", path), f"does not exist for {key} {', '.join(lacking)}; add `{written}`")


def _extremes(parameter: Parameter) -> Iterable[tuple[KeyPath, Any]]:
    """Every choice, or both ends of the range, with the key each is written under."""
    if parameter.choices is not None:
        return [(("choices", index), choice) for index, choice in enumerate(parameter.choices)]
    return [(("low",), parameter.low), (("high",), parameter.high)]


def _refusal(study: StudyConfig, path: str, values: dict[str, Any], unsound: Collection[str]) -> str | None:
    """Why no trial has these values, whatever the other parameters are; None where one has.

    The others are tried all at their first value, all at their last, then drawn.
    """
    draw = Random(0)
    choosers: list[Callable[[list[Any]], Any]] = [itemgetter(0), itemgetter(-1), *[draw.choice] * _DRAWS]
    said: str | None = None
    for choose in choosers:
        problems = composition_problems(study, _filled(study, values, choose, unsound))
        blamed = [problem for problem in problems if _is_about(problem, path)]
        if not blamed:
            return None
        said = said or blamed[0].message
    return said


def _is_about(problem: KeyProblem, path: str) -> bool:
    """Whether a problem of the composed trial lies in this field, or in how its section's fields go together."""
    return ".".join(map(str, problem.path[:2])) in (path, path.partition(".")[0], "")


def _filled(
    study: StudyConfig, values: dict[str, Any], choose: Callable[[list[Any]], Any], unsound: Collection[str]
) -> dict[str, Any]:
    """The values, and one for every other sound parameter that exists then."""
    filled = dict(values)
    for path in parameter_order(study):
        if path not in filled and path not in unsound and is_active(study, path, filled):
            filled[path] = choose([value for _, value in _extremes(study.space[path])])
    return filled


def deciding_parameters(study: StudyConfig, path: str) -> set[str]:
    """Parameters of the space that decide whether `path` exists: those its `when` names, its section's name, theirs."""
    deciding: set[str] = set()
    pending = [path]
    while pending:
        current = pending.pop()
        parameter = study.space.get(current)
        keys = [*(parameter.when or {} if parameter else {}), f"{current.partition('.')[0]}.name"]
        new = {key for key in keys if key != path} - deciding
        deciding |= new
        pending += new
    return deciding


def _contexts(study: StudyConfig, path: str) -> Iterator[dict[str, Any]]:
    """Values of the deciding parameters under which `path` exists."""
    deciding = deciding_parameters(study, path)
    order = [key for key in parameter_order(study) if key in deciding]
    candidates = {key: _distinguished(study, key, path) for key in order}

    def extend(context: dict[str, Any], rest: list[str]) -> Iterator[dict[str, Any]]:
        if not rest:
            if is_active(study, path, context):
                yield context
        elif is_active(study, rest[0], context):
            for value in candidates[rest[0]]:
                yield from extend(context | {rest[0]: value}, rest[1:])
        else:
            yield from extend(context, rest[1:])

    return extend({}, order)


def _distinguished(study: StudyConfig, key: str, path: str) -> list[Any]:
    """Values of the condition `key` worth telling apart for `path`: those its own `when` asks for, if it does; else all
    choices, or of a range one end and what any `when` asks for."""
    own = (study.space[path].when or {}).get(key)
    if own is not None:
        return allowed_values(own)
    condition = study.space[key]
    if condition.choices is not None:
        return list(condition.choices)
    asked = [allowed_values((parameter.when or {}).get(key, [])) for parameter in study.space.values()]
    numbers = [value for allowed in asked for value in allowed if isinstance(value, int | float)]
    return list(dict.fromkeys([condition.low, *numbers]))

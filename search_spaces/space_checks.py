"""Whether a space can be searched: fields that exist, values that make valid trials, conditions that can be met."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from random import Random
from typing import Any

import yaml

from search_spaces.composition import (
    allowed_values,
    base_value,
    composition_problems,
    condition_cycle,
    is_active,
    parameter_order,
)
from search_spaces.fields import expected_value, field_paths, has_variants, numeric_kind, owners, variants
from search_spaces.messages import KeyPath, KeyProblem, choose_from, nearest
from search_spaces.schema import Parameter, StudyConfig
from trainables.config import TrialConfig

_SAME_IMAGES = "all trials must see the same images, or their accuracies cannot be compared"
_SAME_SPLIT = "all trials must be judged on the same split, or their accuracies cannot be compared"
_NOT_LEARNT = "it changes nothing that a trial learns"
_FIXED = {
    "name": "a study has one name",
    "search": "how to search is fixed for the whole study",
    "resources": "what a trial occupies is fixed for the whole study",
    "space": "a space does not vary itself",
    "data.dataset": _SAME_IMAGES,
    "data.root": _SAME_IMAGES,
    "data.max_unreadable": _SAME_IMAGES,
    "data.split_seed": _SAME_SPLIT,
    "data.validation_fraction": _SAME_SPLIT,
    "data.test_fraction": _SAME_SPLIT,
    "data.cache_dir": _NOT_LEARNT,
    "training.checkpoint_seconds": _NOT_LEARNT,
}
"""What a space may not vary, and why."""

_MAX_CONTEXTS = 200
"""Combinations of conditions under which one parameter is tried; real studies have a handful."""

_DRAWS = 16
"""Draws of the other parameters before a value is called impossible."""


def check_space(study: StudyConfig, unreadable: Collection[str] = ()) -> list[KeyProblem]:
    """Every problem of the study's space; none means each value of each parameter can make a valid trial.

    Args:
        study: the study as far as its schema could read it.
        unreadable: parameters of the file that the schema refused; what depends on them is not judged.
    """
    problems: list[KeyProblem] = []
    unsound = set(unreadable)
    for path, parameter in study.space.items():
        found = [*_path_problems(study, path)] or [
            *_range_problems(path, parameter),
            *_when_problems(study, path, parameter, unreadable),
        ]
        problems += found
        unsound |= {path} if found else set()
    cycle = condition_cycle(study)
    if cycle:
        return [*problems, KeyProblem(("space", cycle[0], "when"), f"runs in a circle: {' -> '.join(cycle)}")]
    for path in study.space:
        if not unsound & {path, *_deciding(study, path)}:
            problems += _composition_problems(study, path, unsound)
    return problems


def _path_problems(study: StudyConfig, path: str) -> Iterator[KeyProblem]:
    """A path that is no field, or one that must not vary."""
    here: KeyPath = ("space", path)
    section = path.partition(".")[0]
    reason = _FIXED.get(path) or _FIXED.get(section)
    if reason:
        yield KeyProblem(here, f"cannot vary: {reason}; set it in the base configuration")
    elif path in TrialConfig.model_fields:
        yield KeyProblem(here, f"is a whole section; name a field of it, for example {field_paths(path)[0]}")
    elif not owners(path):
        yield KeyProblem(here, f"there is no such field; {_suggestion(study, path)}")
    elif not owners(path).keys() & _reachable(study, section):
        names = ", ".join(owners(path))
        present = ", ".join(_reachable(study, section))
        yield KeyProblem(here, f"is a field of {section}.name {names}; in this study {section}.name is {present}")


def _suggestion(study: StudyConfig, path: str) -> str:
    """The field that was meant, or what there is."""
    section = path.partition(".")[0]
    sections = [name for name in TrialConfig.model_fields if name not in _FIXED]
    near = nearest(path, [field for name in sections for field in field_paths(name, _reachable(study, name))])
    if near:
        return f"did you mean `{near}`?"
    if section in sections:
        return f"fields of {section}: {', '.join(field_paths(section, _reachable(study, section)))}"
    return f"write section.field, for example model.filters; sections: {', '.join(sections)}"


def _reachable(study: StudyConfig, section: str) -> list[str]:
    """Variants of the section that a trial can have."""
    if not has_variants(section):
        return [""]
    named = study.space.get(f"{section}.name")
    names = [str(name) for name in named.choices or ()] if named else []
    if named is None or named.when:
        names.append(getattr(study, section).name)
    return [name for name in dict.fromkeys(names) if name in variants(section)]


def _range_problems(path: str, parameter: Parameter) -> Iterator[KeyProblem]:
    """Repeated choices; a range that the field's kind of number cannot have."""
    here: KeyPath = ("space", path)
    choices = parameter.choices or []
    for index, choice in enumerate(choices):
        if choice in choices[:index]:
            yield KeyProblem((*here, "choices", index), f"{choice!r} is there twice; keep one")
    if parameter.low is None or parameter.high is None:
        return
    kind = numeric_kind(path)
    if kind is None:
        yield KeyProblem(
            here, f"low and high need a field of numbers; {path} takes {expected_value(path)}: give choices"
        )
        return
    numbers = {"low": parameter.low, "high": parameter.high, "step": parameter.step}
    fractions = [name for name, value in numbers.items() if kind == "int" and value is not None and value % 1]
    for name in fractions:
        yield KeyProblem((*here, name), f"got {numbers[name]}; {path} takes whole numbers")
    if parameter.step is not None and not fractions:
        steps = (parameter.high - parameter.low) / parameter.step
        if not math.isclose(steps, round(steps), abs_tol=1e-9):
            below = parameter.low + math.floor(steps) * parameter.step
            advice = f"give high {below:g} or {below + parameter.step:g}"
            message = f"{parameter.high} cannot be reached from {parameter.low} in steps of {parameter.step}; {advice}"
            yield KeyProblem((*here, "high"), message)


def _when_problems(
    study: StudyConfig, path: str, parameter: Parameter, unreadable: Collection[str]
) -> Iterator[KeyProblem]:
    """Conditions on what does not exist, or on values that never come."""
    for key, allowed in (parameter.when or {}).items():
        here: KeyPath = ("space", path, "when", key)
        if key in study.space:
            yield from _never(here, key, study.space[key], allowed_values(allowed))
        elif key in unreadable:
            continue
        elif owners(key):
            value = base_value(study, key)
            if value not in allowed_values(allowed):
                yield KeyProblem(here, f"never holds: {key} is {value!r} in the base and does not vary in the space")
        else:
            known = [*study.space, *(path for section in TrialConfig.model_fields for path in field_paths(section))]
            near = nearest(key, known)
            advice = f"did you mean `{near}`?" if near else f"parameters of the space: {', '.join(study.space)}"
            yield KeyProblem(here, f"there is no such parameter; {advice}")


def _never(here: KeyPath, key: str, condition: Parameter, allowed: list[Any]) -> Iterator[KeyProblem]:
    """Values that the parameter `key` cannot have."""
    if not allowed:
        yield KeyProblem(here, "is empty; give the value, or values, under which the parameter exists")
    for value in allowed:
        if condition.choices is not None:
            if value not in condition.choices:
                choices = [str(choice) for choice in condition.choices]
                yield KeyProblem(here, f"{key} is never {value!r}; {choose_from(value, choices)}")
        elif not _within(condition, value):
            yield KeyProblem(here, f"{key} is never {value!r}; it lies from {condition.low} to {condition.high}")


def _within(condition: Parameter, value: Any) -> bool:
    low, high = condition.low, condition.high
    return isinstance(value, int | float) and low is not None and high is not None and low <= value <= high


def _composition_problems(study: StudyConfig, path: str, unsound: Collection[str]) -> Iterator[KeyProblem]:
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


def _deciding(study: StudyConfig, path: str) -> set[str]:
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
    deciding = _deciding(study, path)
    order = [key for key in parameter_order(study) if key in deciding]
    mentioned = _mentioned(study)

    def extend(context: dict[str, Any], rest: list[str]) -> Iterator[dict[str, Any]]:
        if not rest:
            if is_active(study, path, context):
                yield context
        elif is_active(study, rest[0], context):
            for value in _distinguished(study.space[rest[0]], mentioned.get(rest[0], [])):
                yield from extend(context | {rest[0]: value}, rest[1:])
        else:
            yield from extend(context, rest[1:])

    return extend({}, order)


def _mentioned(study: StudyConfig) -> dict[str, list[Any]]:
    """Values that conditions ask for, by parameter."""
    mentioned: dict[str, list[Any]] = {}
    for parameter in study.space.values():
        for key, allowed in (parameter.when or {}).items():
            mentioned.setdefault(key, []).extend(allowed_values(allowed))
    return mentioned


def _distinguished(parameter: Parameter, mentioned: list[Any]) -> list[Any]:
    """Values of a condition worth telling apart: all choices; of a range one end and what is asked for."""
    return parameter.choices or [parameter.low, *(value for value in mentioned if value != parameter.low)]

"""Checks that a space can be searched: its fields exist, its values make valid trials, its conditions can hold."""

import math
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from search_spaces.composition import allowed_values, base_value, comparable, composition_problems, condition_cycle
from search_spaces.fields import expected_value, field_paths, has_variants, numeric_kind, owners, variants
from search_spaces.messages import KeyPath, KeyProblem, choose_from, dotted, nearest, shown
from search_spaces.schema import Parameter, StudyConfig
from search_spaces.value_checks import ValueChecker, deciding_parameters
from trainables.config import TrialConfig

_SAME_IMAGES = "all trials must see the same images in the same split, or their accuracies cannot be compared"
_NOT_LEARNT = "it does not affect what a trial learns"
FIXED = {
    "name": "a study has one name",
    "search": "search settings are fixed for the whole study",
    "resources": "a trial's resources are fixed for the whole study",
    "space": "a space cannot vary itself",
    "data": _SAME_IMAGES,
    "training.checkpoint_seconds": _NOT_LEARNT,
}
"""Fields and sections that a space may not vary, and why."""

_MAX_FOR_ONE = 20
"""Maximum number of problems reported per parameter."""


def check_space(study: StudyConfig, unreadable: Collection[str] = ()) -> Iterator[KeyProblem]:
    """Yield every problem of the study's space; none if each value of each parameter can be part of a valid trial.

    Args:
        study: the study as far as its schema could read it.
        unreadable: parameters that the schema refused; anything that depends on them is not checked.
    """
    unsound = set(unreadable)
    for path in unreadable:
        problem = _path_problem(study, path)
        if problem:
            yield KeyProblem(("space", path), problem)
    for path, parameter in study.space.items():
        problem = _path_problem(study, path)
        found = [KeyProblem(("space", path), problem)] if problem else [*_some(_range_problems(path, parameter))]
        found += _some(_when_problems(study, path, parameter, unreadable))
        yield from found
        unsound |= {path} if found else set()
    cycle = condition_cycle(study)
    if cycle:
        yield KeyProblem(("space", cycle[0], "when"), f"is circular: {' -> '.join(cycle)}")
        return
    checker = ValueChecker(study, unsound)
    for path in study.space:
        if not unsound & {path, *deciding_parameters(study, path)}:
            yield from _some(checker.problems(path))


def _some(problems: Iterator[KeyProblem]) -> Iterator[KeyProblem]:
    """Limit the problems per parameter: 10,000 choices may all be wrong for the same reason."""
    return islice(problems, _MAX_FOR_ONE)


def check_first(study: StudyConfig) -> Iterator[KeyProblem]:
    """Yield every problem of `search.first`: unknown fields, and values that do not combine to a valid trial."""
    for index, values in enumerate(study.search.first):
        here: KeyPath = ("search", "first", index)
        is_sound = True
        for path in values:
            message = _field_problem(study, path)
            if message:
                is_sound = False
                yield KeyProblem((*here, path), message)
        if is_sound:
            for problem in composition_problems(study, values):
                yield KeyProblem((*here, dotted(problem.path)), problem.message)


def _path_problem(study: StudyConfig, path: str) -> str | None:
    """Why the field `path` cannot vary, or None."""
    problem = _field_problem(study, path)
    section = path.partition(".")[0]
    if problem is None and not owners(path).keys() & _reachable(study, section):
        names, present = ", ".join(owners(path)), ", ".join(_reachable(study, section))
        return f"is a field of {section}.name {names}; in this study {section}.name is {present}"
    return problem


def _field_problem(study: StudyConfig, path: str) -> str | None:
    """Why `path` cannot be set per trial: it is not a field, or is fixed for the whole study. None if it can."""
    section = path.partition(".")[0]
    reason = FIXED.get(path) or FIXED.get(section)
    if reason:
        return f"cannot vary: {reason}; set it in the base configuration"
    if path in TrialConfig.model_fields:
        return f"is a section; name a field in it, for example {field_paths(path)[0]}"
    return None if owners(path) else f"no such field; {_suggestion(study, path)}"


def _suggestion(study: StudyConfig, path: str) -> str:
    """The most similar field, or a list of the fields."""
    section, _, field = path.partition(".")
    known = {name: field_paths(name, _reachable(study, name)) for name in TrialConfig.model_fields}
    everywhere = [known_path for paths in known.values() for known_path in paths]
    if section in known:  # compare field names only: the shared prefix makes any two paths similar
        by_field = {known_path.partition(".")[2]: known_path for known_path in [*everywhere, *known[section]]}
        near = by_field.get(nearest(field, by_field) or "")
    else:
        near = nearest(path, everywhere)
    if near:
        return f"did you mean `{near}`?"
    if section in known:
        return f"fields of {section}: {', '.join(known[section])}"
    return f"write section.field, for example model.filters; sections: {', '.join(known)}"


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
    """Repeated choices, and ranges that the field's numeric type does not allow."""
    here: KeyPath = ("space", path)
    seen: set[object] = set()
    for index, choice in enumerate(parameter.choices or []):
        if comparable(choice) in seen:
            yield KeyProblem((*here, "choices", index), f"{shown(choice)} is listed twice; keep one")
        seen.add(comparable(choice))
    if parameter.low is None or parameter.high is None:
        return
    kind = numeric_kind(path)
    if kind is None:
        yield KeyProblem(here, f"low and high need a numeric field; {path} takes {expected_value(path)}: give choices")
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
    """Conditions on unknown parameters, or on values that never occur."""
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
            yield KeyProblem(here, f"no such parameter; {advice}")


def _never(here: KeyPath, key: str, condition: Parameter, allowed: list[Any]) -> Iterator[KeyProblem]:
    """Values that the parameter `key` can never have."""
    if not allowed:
        yield KeyProblem(here, "is empty; give the value or values for which the parameter exists")
    choices = set(map(comparable, condition.choices or ()))
    for value in allowed:
        if condition.choices is not None:
            if comparable(value) not in choices:
                known = [shown(choice) if isinstance(choice, list) else str(choice) for choice in condition.choices]
                yield KeyProblem(here, f"{key} is never {shown(value)}; {choose_from(value, known)}")
        elif not condition.has(value):
            step = "" if condition.step is None else f" in steps of {condition.step}"
            yield KeyProblem(
                here, f"{key} is never {shown(value)}; it ranges from {condition.low} to {condition.high}{step}"
            )

"""Turns proposed values into a trial's configuration: which parameters are active, in what order, and the result."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ValidationError

from search_spaces.fields import Kind, has_variants, numeric_kind, variants
from search_spaces.messages import KeyProblem, explain, misplaced_booleans
from search_spaces.schema import StudyConfig, Value, Wanted
from trainables.config import TrialConfig
from trainables.errors import InfeasibleError, InputError

_SECTIONS = frozenset(TrialConfig.model_fields)


def compose(study: StudyConfig, values: Mapping[str, Value]) -> TrialConfig:
    """The study's base configuration with `values` (path to value) set.

    If a value changes a section's `name`, only base fields that the file sets and the new variant has are carried
    over. Takes well under a millisecond.

    Raises:
        InfeasibleError: the values do not combine to a valid configuration, for example because the chosen variant
            lacks a field. Loading checks each parameter of a study, but not every combination.
    """
    try:
        return TrialConfig.model_validate(_raw_composition(study, values))
    except ValidationError as error:
        raise InfeasibleError("; ".join(map(str, explain(error, TrialConfig)))) from error


def composition_problems(study: StudyConfig, values: Mapping[str, Value]) -> list[KeyProblem]:
    """Why the values do not make a valid trial; empty if they do. Stricter than `compose`: true is not the number 1."""
    content = _raw_composition(study, values)
    problems = misplaced_booleans(content, TrialConfig)
    try:
        TrialConfig.model_validate(content)
    except ValidationError as error:
        problems += explain(error, TrialConfig)
    return problems


def parameter_order(study: StudyConfig) -> tuple[str, ...]:
    """The space's parameters, each after those that its `when` refers to.

    Raises:
        InputError: the conditions are circular; those of a loaded study never are.
    """
    try:
        return tuple(_conditions(study).static_order())
    except CycleError as error:
        raise InputError(f"circular `when`: {' -> '.join(error.args[1])}") from error


def condition_cycle(study: StudyConfig) -> tuple[str, ...]:
    """A cycle of parameters that depend on each other, with the first repeated at the end; empty if there is none."""
    try:
        _conditions(study).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return ()


def _conditions(study: StudyConfig) -> TopologicalSorter[str]:
    space = study.space
    return TopologicalSorter({path: [key for key in space[path].when or {} if key in space] for path in space})


def is_active(study: StudyConfig, path: str, values: Mapping[str, Value]) -> bool:
    """Whether the parameter `path` exists, given the values of the active parameters before it."""
    when = study.space[path].when or {}
    return all(_condition_holds(study, key, allowed, values) for key, allowed in when.items())


def parameter_kind(path: str) -> Kind:
    """Type drawn by a range over the base field `path`: a float field gives floats even if `low` is written `1`.

    Raises:
        ValueError: the field is not numeric, or does not exist.
    """
    kind = numeric_kind(path)
    if kind is None:
        raise ValueError(f"{path} does not take a number")
    return kind


def base_value(study: StudyConfig, path: str) -> Any:
    """Value of the field `section.field` in the base configuration; None if the base's variant lacks it."""
    section, _, field = path.partition(".")
    return getattr(getattr(study, section, None), field, None)


def allowed_values(allowed: Wanted) -> list[Any]:
    """The right-hand side of a `when` entry as a list."""
    return list(allowed) if isinstance(allowed, list) else [allowed]


def comparable(value: Any) -> Any:
    """A hashable equivalent of `value`, equal for equal values, so that lookups can use a set."""
    return tuple(map(comparable, value)) if isinstance(value, list | tuple) else value


def _condition_holds(study: StudyConfig, key: str, allowed: Wanted, values: Mapping[str, Value]) -> bool:
    if key in study.space:
        return key in values and values[key] in allowed_values(allowed)
    return base_value(study, key) in allowed_values(allowed)


def _raw_composition(study: StudyConfig, values: Mapping[str, Value]) -> dict[str, Any]:
    """The base overlaid with the values, not yet validated. Sections without a value are already valid.

    A section that keeps its variant keeps all base fields, including defaults: a default may change between versions,
    but a resumed study must not. If the variant changes, only fields written in the file are carried over.
    """
    content: dict[str, Any] = {section: getattr(study, section) for section in _SECTIONS}
    for section in dict.fromkeys(path.partition(".")[0] for path in values):
        base = content.get(section)
        name = values.get(f"{section}.name")
        if base is None:
            content[section] = {}
        elif name is None or not has_variants(section) or name == base.name:
            content[section] = base.model_dump()
        else:
            content[section] = _carried_over(section, name, base.model_dump(exclude_unset=True)) | {"name": name}
    for path, value in values.items():
        section, _, field = path.partition(".")
        content[section][field] = value
    return content


def _carried_over(section: str, name: Value, written: dict[str, Any]) -> dict[str, Any]:
    """The fields that the new variant has too; all of them if the variant is unknown, so that validation reports it."""
    variant = variants(section).get(name) if isinstance(name, str) else None
    return {field: value for field, value in written.items() if variant is None or field in variant.model_fields}

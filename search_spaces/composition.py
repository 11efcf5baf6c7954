"""From proposed values to a trial's configuration: which parameters exist when, in what order, and what they make."""

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

    Where a value changes a section's `name`, only those base fields come along that the file sets and the new variant
    has. Takes well under a millisecond.

    Raises:
        InfeasibleError: the values make no valid configuration together, for example a field that the chosen
            variant lacks. A loaded study was checked against this parameter by parameter, not in every combination.
    """
    try:
        return TrialConfig.model_validate(_raw_composition(study, values))
    except ValidationError as error:
        raise InfeasibleError("; ".join(map(str, explain(error, TrialConfig)))) from error


def composition_problems(study: StudyConfig, values: Mapping[str, Value]) -> list[KeyProblem]:
    """Why the values make no valid trial; empty where they do. Stricter than `compose`: true is not the number 1."""
    content = _raw_composition(study, values)
    problems = misplaced_booleans(content, TrialConfig)
    try:
        TrialConfig.model_validate(content)
    except ValidationError as error:
        problems += explain(error, TrialConfig)
    return problems


def parameter_order(study: StudyConfig) -> tuple[str, ...]:
    """The space's parameters, each after those that its `when` names.

    Raises:
        InputError: the conditions run in a circle; a loaded study's do not.
    """
    try:
        return tuple(_conditions(study).static_order())
    except CycleError as error:
        raise InputError(f"`when` runs in a circle: {' -> '.join(error.args[1])}") from error


def condition_cycle(study: StudyConfig) -> tuple[str, ...]:
    """Parameters that wait for one another, the first again at the end; empty where none do."""
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


def active_values(study: StudyConfig, values: Mapping[str, Value]) -> dict[str, Value]:
    """Those of `values` whose parameters exist given the others, in the order of `parameter_order`."""
    active: dict[str, Value] = {}
    for path in parameter_order(study):
        if path in values and is_active(study, path, active):
            active[path] = values[path]
    return active


def parameter_kind(path: str) -> Kind:
    """What a range over the base field `path` draws: a field of floats gives floats, though `low` be written `1`.

    Raises:
        ValueError: the field takes no number, or does not exist.
    """
    kind = numeric_kind(path)
    if kind is None:
        raise ValueError(f"{path} takes no number")
    return kind


def base_value(study: StudyConfig, path: str) -> Any:
    """Value of the field `section.field` in the base configuration; None where the base's variant lacks it."""
    section, _, field = path.partition(".")
    return getattr(getattr(study, section, None), field, None)


def allowed_values(allowed: Wanted) -> list[Any]:
    """The right-hand side of a `when` entry as a list."""
    return list(allowed) if isinstance(allowed, list) else [allowed]


def comparable(value: Any) -> Any:
    """Something hashable that is equal for equal values: a set of them is searched in no time, a list is not."""
    return tuple(map(comparable, value)) if isinstance(value, list | tuple) else value


def _condition_holds(study: StudyConfig, key: str, allowed: Wanted, values: Mapping[str, Value]) -> bool:
    if key in study.space:
        return key in values and values[key] in allowed_values(allowed)
    return base_value(study, key) in allowed_values(allowed)


def _raw_composition(study: StudyConfig, values: Mapping[str, Value]) -> dict[str, Any]:
    """The base and the values over it, not yet validated. Sections that no value touches are valid as they are.

    A section that keeps its variant keeps all fields of the base, defaults included: what a default is may change with
    the version, and a study that is resumed must not. To another variant goes only what the file writes.
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
    """The fields that another variant has too; all of them where there is no such variant, which validation says."""
    variant = variants(section).get(name) if isinstance(name, str) else None
    return {field: value for field, value in written.items() if variant is None or field in variant.model_fields}

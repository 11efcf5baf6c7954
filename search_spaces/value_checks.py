"""Checks that each value of a space can be part of a valid trial whenever its parameter exists."""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from random import Random
from typing import Any

import yaml

from search_spaces.composition import allowed_values, comparable, composition_problems, is_active, parameter_order
from search_spaces.fields import has_variants, owners, variants
from search_spaces.messages import KeyPath, KeyProblem
from search_spaces.schema import Parameter, StudyConfig

_MAX_CONTEXTS = 200
"""Maximum combinations of conditions to try one parameter under; real studies have a handful."""

_MAX_STEPS = 5_000
"""Maximum steps of the search for these combinations; real studies need one per combination."""

_DRAWS = 16
"""Random draws of the other parameters before a value is considered impossible."""

_MAX_TRIED = 5_000
"""Maximum trials composed for the whole study, besides one per value; real studies need a few hundred."""


class ValueChecker:
    """Tries the values of a study's parameters.

    Each value is tried at least once. Further tries are limited per study, so that no space takes longer than a second
    or two. Problems missed here show when the trial is proposed: it is then infeasible.
    """

    def __init__(self, study: StudyConfig, unsound: Collection[str]) -> None:
        """Parameters in `unsound` have problems already, and are left out of the trials."""
        self._study = study
        self._order = parameter_order(study)
        self._ends = {path: [value for _, value in _extremes(study.space[path])] for path in self._order}
        self._unsound = unsound
        self._tried = 0

    def problems(self, path: str) -> Iterator[KeyProblem]:
        """Values that are never part of a valid trial, tried under all conditions for which the parameter exists."""
        study, (section, _, field) = self._study, path.partition(".")
        contexts = _Contexts(study, self._order, path)
        found = list(islice(contexts, _MAX_CONTEXTS))
        if not found and not contexts.cut_short:
            yield KeyProblem(("space", path, "when"), "these conditions can never all hold")
        if not found:
            return
        if has_variants(section):
            base_name = getattr(study, section).name
            chosen = [context.get(f"{section}.name", base_name) for context in found]
            # Values that are not variant names are reported on their own line.
            names = dict.fromkeys(name for name in chosen if isinstance(name, str) and name in variants(section))
            lacking = [name for name in names if name not in owners(path)] if field != "name" else []
            if lacking:
                yield _needs_when(study.space[path], path, lacking, [name for name in names if name not in lacking])
                return
        others = self._others(path)
        for key, value in _extremes(study.space[path]):
            for context in found:
                message = self._refusal(path, context | {path: value}, others)
                if message:
                    yield KeyProblem(("space", path, *key), message)
                if message or self._tried > _MAX_TRIED:
                    break

    def _others(self, path: str) -> list[str]:
        """Sound parameters of the section, and those that decide which exist. No others can make values invalid."""
        section = path.partition(".")[0]
        relevant: set[str] = set()
        for other in self._order:
            if other.partition(".")[0] == section:
                relevant |= {other, *deciding_parameters(self._study, other)}
        return [other for other in self._order if other in relevant and other not in self._unsound]

    def _refusal(self, path: str, values: dict[str, Any], others: list[str]) -> str | None:
        """Why no trial can have these values, whatever the other parameters are; None if one can.

        The others are tried at their first values, then their last, then random ones.
        """
        draw = Random(0)
        choosers: list[Callable[[list[Any]], Any]] = [itemgetter(0), itemgetter(-1), *[draw.choice] * _DRAWS]
        said: str | None = None
        for choose in choosers:
            self._tried += 1
            problems = composition_problems(self._study, self._filled(values, choose, others))
            blamed = [problem for problem in problems if _is_about(problem, path)]
            if not blamed:
                return None
            said = said or blamed[0].message
            if ".".join(map(str, blamed[0].path[:2])) == path:
                return said  # wrong regardless of the others
            if self._tried > _MAX_TRIED:
                return None
        return said

    def _filled(self, values: dict[str, Any], choose: Callable[[list[Any]], Any], others: list[str]) -> dict[str, Any]:
        """The values, plus a value for every other sound parameter that is active with them."""
        filled = dict(values)
        for path in others:
            if path not in filled and is_active(self._study, path, filled):
                filled[path] = choose(self._ends[path])
        return filled


def _needs_when(parameter: Parameter, path: str, lacking: list[str], having: list[str]) -> KeyProblem:
    section = path.partition(".")[0]
    key = f"{section}.name"
    when = (parameter.when or {}) | {key: having[0] if len(having) == 1 else having}
    written = yaml.safe_dump({"when": when}, default_flow_style=True, sort_keys=False, width=1000).strip()[1:-1]
    return KeyProblem(("space", path), f"does not exist for {key} {', '.join(lacking)}; add `{written}`")


def _extremes(parameter: Parameter) -> Iterable[tuple[KeyPath, Any]]:
    """Every choice, or both ends of the range, with its key."""
    if parameter.choices is not None:
        return [(("choices", index), choice) for index, choice in enumerate(parameter.choices)]
    return [(("low",), parameter.low), (("high",), parameter.high)]


def _is_about(problem: KeyProblem, path: str) -> bool:
    """Whether a problem of the composed trial concerns this field, or the combination of its section's fields."""
    return ".".join(map(str, problem.path[:2])) in (path, path.partition(".")[0], "")


def deciding_parameters(study: StudyConfig, path: str) -> set[str]:
    """Parameters that decide whether `path` exists, directly or not: those in its `when`, and its section's name."""
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


class _Contexts:
    """Iterates over the combinations of deciding parameters under which `path` exists."""

    def __init__(self, study: StudyConfig, order: Iterable[str], path: str) -> None:
        deciding = deciding_parameters(study, path)
        self._study, self._path = study, path
        self._order = [key for key in order if key in deciding]
        self._candidates = {key: _distinguished(study, key, path) for key in self._order}
        self._steps = 0

    @property
    def cut_short(self) -> bool:
        """Whether the search stopped before all combinations were seen."""
        return self._steps > _MAX_STEPS

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._extended({}, 0)

    def _extended(self, context: dict[str, Any], position: int) -> Iterator[dict[str, Any]]:
        self._steps += 1
        if self.cut_short:
            return
        if position == len(self._order):
            if is_active(self._study, self._path, context):
                yield context
            return
        key = self._order[position]
        if is_active(self._study, key, context):
            for value in self._candidates[key]:
                yield from self._extended(context | {key: value}, position + 1)
        elif key not in (self._study.space[self._path].when or {}):
            yield from self._extended(context, position + 1)


def _distinguished(study: StudyConfig, key: str, path: str) -> list[Any]:
    """Values of the condition `key` to try for `path`: those in its own `when`, if any; else all choices, or for a
    range the low end and the values in any `when`."""
    own = (study.space[path].when or {}).get(key)
    if own is not None:
        return allowed_values(own)
    condition = study.space[key]
    if condition.choices is not None:
        return list(condition.choices)
    asked = [allowed_values((parameter.when or {}).get(key, [])) for parameter in study.space.values()]
    numbers = [value for allowed in asked for value in allowed if isinstance(value, int | float)]
    return list({comparable(value): value for value in [condition.low, *numbers]}.values())

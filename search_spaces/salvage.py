"""The readable part of a study file with errors, so that errors in its space are reported in the same run."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from search_spaces.messages import KeyPath, KeyProblem, explain
from search_spaces.schema import StudyConfig

_STAND_INS: dict[str, Any] = {
    "name": "unnamed",
    "data": {"dataset": "digits"},
    "space": {"training.seed": {"choices": [0]}},
}
"""Values for missing required keys. No check of the space depends on them."""

_MAX_ROUNDS = 5
"""A missing key is removed with its parents, one level per round. No configuration is nested deeper."""


def salvage(content: dict[str, Any], problems: Iterable[KeyProblem]) -> StudyConfig | None:
    """The study without the keys that have problems, with an empty space if no parameter is left; None if the rest is
    not valid either."""
    remaining = deepcopy(content)
    for _ in range(_MAX_ROUNDS):
        for problem in problems:
            _remove(remaining, problem.path)
        try:
            study = StudyConfig.model_validate(_STAND_INS | remaining)
        except ValidationError as error:
            problems = explain(error, StudyConfig)
            continue
        return study if remaining.get("space") else study.model_copy(update={"space": {}})
    return None


def _remove(content: dict[str, Any], path: KeyPath) -> None:
    """Remove the key. If it is missing, remove its parent; if it is part of a parameter, the whole parameter."""
    if not path:
        return
    if path[0] == "space":
        path = path[:2]
    holder: Any = content
    for key in path[:-1]:
        holder = holder.get(key) if isinstance(holder, dict) else None
    if isinstance(holder, dict) and path[-1] in holder:
        del holder[path[-1]]
    else:
        _remove(content, path[:-1])

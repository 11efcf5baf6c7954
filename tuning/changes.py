"""What differs between a study as it was begun and its file as it is now."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.schema import StudyConfig

EXTENSIONS = frozenset({"search.trials", "search.time_budget"})
"""Fields that `resume` extends; a change in them makes no two trials incomparable."""


@dataclass(frozen=True)
class Change:
    """One field."""

    path: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.path}: was {self.before}, is {self.now}"


def study_changes(begun: StudyConfig, now: StudyConfig) -> tuple[Change, ...]:
    """Fields whose values differ, by path, without `EXTENSIONS`; a folder is the same however it is written."""
    before, after = dict(_fields(begun)), dict(_fields(now))
    paths = [*before, *(path for path in after if path not in before)]
    differing = (path for path in paths if before.get(path) != after.get(path) and path not in EXTENSIONS)
    return tuple(Change(path, before.get(path), after.get(path)) for path in differing)


def _fields(study: StudyConfig) -> Iterator[tuple[str, Any]]:
    for section, value in study:
        if section == "space":
            yield from (
                (f"space.{path}", parameter.model_dump(exclude_unset=True)) for path, parameter in value.items()
            )
        elif section == "name":
            yield section, value
        else:
            yield from ((f"{section}.{field}", _comparable(content)) for field, content in value)


def _comparable(value: Any) -> Any:
    return value.resolve() if isinstance(value, Path) else value

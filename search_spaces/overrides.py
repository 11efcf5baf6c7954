"""`--set key=value`: overrides one field of the study file on the command line."""

from collections.abc import Mapping
from typing import Any

from search_spaces.fields import has_variants
from search_spaces.messages import KeyPath, KeyProblem, dotted, shown
from search_spaces.schema import Parameter, SearchConfig
from search_spaces.yaml_file import parse
from trainables.config import TrialConfig

_LONGEST_KEY, _MAX_DEPTH = 200, 10
"""Maximum characters and parts of an override's key. No field is nested deeper than 5."""


def read_override(text: str, environment: Mapping[str, str]) -> tuple[KeyPath, Any, list[KeyProblem]]:
    """Path, value and problems of one `key=value`; the value is read as YAML."""
    key, equals, written = text.partition("=")
    path = key_path(key.strip())
    if not equals or not path or not key.isprintable() or len(key) > _LONGEST_KEY or len(path) > _MAX_DEPTH:
        return (), None, [KeyProblem((), "write key=value, for example search.trials=50")]
    document = parse(written, environment, path)
    return path, document.content, [KeyProblem(path, problem.message) for _, problem in document.problems]


def key_path(key: str) -> KeyPath:
    """Split at dots, but keep a parameter's path together: `space` / `model.filters` / `choices`."""
    parts = [part for part in key.split(".") if part]
    if parts[:1] != ["space"] or len(parts) < 3:
        return tuple(parts)
    path: KeyPath = ("space", ".".join(parts[1:3]), *parts[3:])
    if parts[3:4] == ["when"] and len(parts) > 5:
        return (*path[:3], ".".join(parts[4:]))
    return path


def apply_override(content: dict[str, Any], path: KeyPath, value: Any) -> list[KeyProblem]:
    """Set `value` at `path` of a study file's content, creating mappings as needed; returns problems if it cannot."""
    keys = [str(key) for key in path]
    target = content
    for depth, key in enumerate(keys[:-1], start=1):
        inner = _opened(target.get(key), ".".join(keys[:depth]))
        if not isinstance(inner, dict):
            return [KeyProblem(path, f"{dotted(path[:depth])} is {shown(inner)}, not a mapping")]
        target[key] = target = inner
    if len(keys) == 3 and keys[0] == "space":
        _give_way(target, keys[2])
    target[keys[-1]] = value
    return []


_NAMED = {
    **{
        section: TrialConfig.model_fields[section].default.name
        for section in TrialConfig.model_fields
        if has_variants(section)
    },
    **{f"search.{field}": SearchConfig.model_fields[field].default for field in ("searcher", "scheduler")},
}
"""Sections that have a `name`, and their default names."""


def _opened(inner: Any, path: str) -> Any:
    """A mapping to set a key in, even if the file has none or only a `name`."""
    if path in _NAMED and (inner is None or isinstance(inner, str)):
        return {"name": inner or _NAMED[path]}
    return {} if inner is None else inner


def _give_way(parameter: dict[str, Any], field: str) -> None:
    """Setting choices removes a range, and setting a range removes choices."""
    ranges = set(Parameter.model_fields) - {"choices", "when"}
    if field == "choices":
        for name in ranges:
            parameter.pop(name, None)
    elif field in ranges:
        parameter.pop("choices", None)

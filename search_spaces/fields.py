"""The fields of a trial configuration, read from its typed classes: sections, variants, numeric types."""

from collections.abc import Iterable
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from search_spaces.messages import expected_of
from trainables.config import Config, TrialConfig

Kind = Literal["int", "float"]
"""Type of the values that a range over a field draws."""


@cache
def variants(section: str) -> dict[str, type[Config]]:
    """Classes of one section of the trial configuration by `name`; a section with a single class uses the key ``""``.

    Raises:
        KeyError: there is no such section.
    """
    classes = _config_classes(TrialConfig.model_fields[section].annotation)
    if len(classes) == 1:
        return {"": classes[0]}
    return {cls.model_fields["name"].default: cls for cls in classes}


@cache
def has_variants(section: str) -> bool:
    """Whether `name` selects the section's class."""
    return "" not in variants(section)


@cache
def owners(path: str) -> dict[str, type[Config]]:
    """Variants that have the field `section.field`; empty if none has it."""
    section, _, field = path.partition(".")
    if section not in TrialConfig.model_fields:
        return {}
    return {name: cls for name, cls in variants(section).items() if field in cls.model_fields}


@cache
def numeric_kind(path: str) -> Kind | None:
    """Numeric type of the field `section.field`: float if any variant takes floats; None if no variant is numeric."""
    types = {plain for cls in owners(path).values() for plain in _plain_types(_field(cls, path).annotation)}
    if float in types:
        return "float"
    return "int" if int in types else None


@cache
def expected_value(path: str) -> str:
    """Description of what the field `section.field` accepts."""
    words = dict.fromkeys(expected_of(cls, path.partition(".")[2]) for cls in owners(path).values())
    return " or ".join(words)


def field_paths(section: str, names: Iterable[str] | None = None) -> list[str]:
    """Paths of all fields of a section, or only of its variants `names`."""
    chosen = variants(section) if names is None else {name: variants(section)[name] for name in names}
    return list(dict.fromkeys(f"{section}.{field}" for cls in chosen.values() for field in cls.model_fields))


def _field(cls: type[Config], path: str) -> FieldInfo:
    return cls.model_fields[path.partition(".")[2]]


def _config_classes(annotation: Any) -> list[type[Config]]:
    return [plain for plain in _plain_types(annotation) if isinstance(plain, type) and issubclass(plain, Config)]


def _plain_types(annotation: Any) -> list[Any]:
    """Members of a union, with `Annotated` metadata removed."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain_types(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [plain for member in get_args(annotation) for plain in _plain_types(member)]
    return [annotation]

"""The JSON Schema of a study file, which lets editors complete and check it.

Everything that `load_study` accepts is valid, if numbers are written as numbers. The reverse does not hold: a schema
cannot compare fields, and does not know which data sets and architectures exist. Pydantic's schema is extended with
what the loader handles before pydantic: environment variables in place of any value, plain names of searchers and
schedulers, durations. The space's parameters are listed by path, with the values of their fields.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search_spaces.fields import field_paths, owners
from search_spaces.schema import StudyConfig
from search_spaces.search_options import ALSO
from search_spaces.space_checks import FIXED
from trainables.config import TrialConfig

FILE = Path(__file__).parent / "study.schema.json"
"""Written by `make schema`; the first line of each shipped study file refers to it."""

_Schema = dict[str, Any]

_VARIABLE: _Schema = {
    "description": "An environment variable: `${NAME}` or `${NAME:-default}`.",
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
}
_BOOLEAN: _Schema = {
    "description": "Other values read as true or false; editors treat YAML 1.1's words as text.",
    "enum": [
        0,
        1,
        *(write(word) for word in ("yes", "no", "on", "off") for write in (str.lower, str.title, str.upper)),
    ],
}
_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})
_NOT_SHOWN = ("title", "format", "gt", "le", "discriminator", "oneOf", ALSO)
"""Keys that are not part of JSON Schema, and keys that are replaced here."""


def study_schema() -> _Schema:
    """JSON Schema, draft 2020-12."""
    schema = StudyConfig.model_json_schema()
    definitions = {name: _completed(definition) for name, definition in schema.pop("$defs").items()}
    completed = _completed(schema)
    _name_paths(completed, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Study file of tune-cli",
        **completed,
        "$defs": {**definitions, "Variable": _VARIABLE, "Boolean": _BOOLEAN},
    }


def schema_text() -> str:
    """The schema as printed and, with a trailing newline, in `FILE`."""
    return json.dumps(study_schema(), indent=1, ensure_ascii=False)


def _completed(schema: Mapping[str, Any]) -> _Schema:
    """The schema extended with what the loader accepts before pydantic."""
    rest = {key: value for key, value in schema.items() if key not in _NOT_SHOWN}
    if isinstance(rest.get("default"), dict):
        del rest["default"]  # of whole sections: the fields have their own defaults
    for key in ("properties", "patternProperties"):
        if key in rest:
            rest[key] = {name: _completed(inner) for name, inner in rest[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(rest.get(key), dict):
            rest[key] = _completed(rest[key])
    if "discriminator" in schema:
        return rest | _variants(schema)
    if "anyOf" in rest:
        return rest | {"anyOf": list(_alternatives(schema))}
    if rest.get("type") in _SCALARS or "enum" in rest or "const" in rest:
        notes = {key: rest[key] for key in ("description", "default", "examples") if key in rest}
        return notes | {"anyOf": list(_alternatives({"anyOf": [schema]}))}
    return rest


def _alternatives(schema: Mapping[str, Any]) -> Iterator[_Schema]:
    """Distinct members of a union that includes a scalar, plus variables."""
    seen: list[_Schema] = []
    for member in _members(schema):
        if member not in seen:
            seen.append(member)
            yield member
    if any(member.get("type") == "boolean" for member in seen):
        yield {"$ref": "#/$defs/Boolean"}
    yield {"$ref": "#/$defs/Variable"}


def _members(schema: Mapping[str, Any]) -> Iterator[_Schema]:
    for member in schema["anyOf"]:
        if "anyOf" in member:  # sizes in bytes; pydantic puts their bounds next to it, under non-standard keys
            yield from _members(member)
        elif "discriminator" in member or "properties" in member or member.get("type") in ("array", "object"):
            yield _completed(member)
        else:
            yield {key: value for key, value in member.items() if key not in (*_NOT_SHOWN, "description", "default")}
        if ALSO in member and "discriminator" not in member:
            yield member[ALSO]


def _variants(schema: Mapping[str, Any]) -> _Schema:
    """One of several mappings, selected by `name`: `if` makes editors report errors for the selected one only."""
    chosen = schema["discriminator"]["mapping"]
    names = {"enum": list(chosen)}
    name = {"anyOf": [names, {"$ref": "#/$defs/Variable"}]}
    mapping = {
        "type": "object",
        "properties": {"name": name},
        "required": ["name"],
        "allOf": [
            {"if": {"properties": {"name": {"const": each}}}, "then": {"$ref": reference}}
            for each, reference in chosen.items()
        ],
    }
    return {"anyOf": [names, {"$ref": "#/$defs/Variable"}, mapping]} if ALSO in schema else mapping


def _name_paths(schema: _Schema, definitions: dict[str, _Schema]) -> None:
    """List the valid paths wherever a path is a key or a value, with the values each can take if it varies."""
    everywhere = [path for section in TrialConfig.model_fields for path in field_paths(section)]
    varying = [path for path in everywhere if path not in FIXED and path.partition(".")[0] not in FIXED]
    definitions["Path"], definitions["VaryingPath"] = {"enum": everywhere}, {"enum": varying}
    space, parameter = schema["properties"]["space"], definitions["Parameter"]
    del space["propertyNames"]
    space["properties"] = {path: _parameter(path) for path in varying}
    space["additionalProperties"] = False
    parameter["oneOf"] = [{"required": ["choices"]}, {"required": ["low", "high"]}]
    for condition in parameter["properties"]["when"]["anyOf"]:
        if "propertyNames" in condition:
            condition["propertyNames"] = {"$ref": "#/$defs/Path"}
    varied = {"$ref": "#/$defs/VaryingPath"}
    definitions["SearchConfig"]["properties"]["first"]["items"]["propertyNames"] = varied
    definitions["StageConfig"]["properties"]["parameters"]["items"] = {"anyOf": [varied, {"$ref": "#/$defs/Variable"}]}


def _parameter(path: str) -> _Schema:
    """A parameter whose choices are values of the field `path` in any variant that has it."""
    field = path.partition(".")[2]
    described = (cls.model_fields[field].description for cls in owners(path).values())
    values: list[_Schema]
    if field == "name":
        values = [{"enum": list(owners(path))}, {"$ref": "#/$defs/Variable"}]
    else:
        values = [{"$ref": f"#/$defs/{cls.__name__}/properties/{field}"} for cls in owners(path).values()]
    return {
        "description": next(filter(None, described), f"Varies {path}."),
        "allOf": [{"$ref": "#/$defs/Parameter"}, {"properties": {"choices": {"items": {"anyOf": values}}}}],
    }

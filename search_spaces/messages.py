"""Turns pydantic's errors into messages for the file's author: the value received and what would be right."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of a document. Keys may contain dots, as those of the space do."""

MAX_SHOWN = 100
"""Maximum number of problems reported at once."""

_LONGEST_WORD, _MAX_KNOWN, _MAX_LISTED = 80, 500, 120
"""Longest word to look up, number of words to compare it with (the time is quadratic in word length), and number of
words to list."""

_Schema = Mapping[str, Any]


@dataclass(frozen=True)
class KeyProblem:
    """One problem and the key it belongs to."""

    path: KeyPath
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


def dotted(path: KeyPath) -> str:
    """`space.model.filters.choices[0]`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word most similar to `word`; None if none is close, or if `word` is too long to be a typo."""
    text = str(word)
    if len(text) > _LONGEST_WORD:
        return None
    matches = difflib.get_close_matches(text, list(islice(known, _MAX_KNOWN)), n=1, cutoff=0.6)
    return matches[0] if matches else None


def choose_from(word: object, known: Iterable[str]) -> str:
    """`did you mean a? One of: a, b, c`."""
    known = list(known)
    near = nearest(word, known)
    listed = f"one of: {', '.join(known[:_MAX_LISTED])}"
    if len(known) > _MAX_LISTED:
        listed += f", ... ({len(known):,} in all)"
    return f"did you mean `{near}`? {listed.capitalize()}" if near else listed


def explain(error: ValidationError, model: type[BaseModel]) -> list[KeyProblem]:
    """One problem per key; if pydantic tried several types, what the field takes is reported once.

    Beyond `MAX_SHOWN` problems only the key is given, as looking for suggestions takes time.
    """
    problems: dict[KeyPath, KeyProblem] = {}
    for detail in error.errors(include_url=False):
        path, schema = _find(detail["loc"], _json_schema(model))
        if len(problems) < MAX_SHOWN:
            problem = _explain_one(detail, path, schema, _json_schema(model))
        else:
            problem = KeyProblem(path, "is also invalid")
        problems.setdefault(problem.path, problem)
    return list(problems.values())


def misplaced_booleans(content: object, model: type[BaseModel]) -> list[KeyProblem]:
    """Booleans in place of numbers, which pydantic would read as 0 or 1."""
    root = _json_schema(model)
    return list(_misplaced(content, (), root, root))


def _misplaced(content: object, path: KeyPath, schema: _Schema, root: _Schema) -> Iterator[KeyProblem]:
    schema = _resolved(schema, root)
    inner: Iterable[tuple[str | int, object]] = ()
    if isinstance(content, dict):
        variant = schema.get("discriminator", {}).get("mapping", {}).get(str(content.get("name")))
        schema = _resolved({"$ref": variant}, root) if variant else schema
        inner = content.items()
    elif isinstance(content, list):
        inner = enumerate(content)
    elif isinstance(content, bool):
        types = {member.get("type") for member in schema.get("anyOf", [schema])}
        if types & {"integer", "number"} and "boolean" not in types:
            yield KeyProblem(path, f"got {content!r}; expected {_expected(schema, root)}")
    for key, value in inner:
        below = _step(schema, key)
        if below is not None:
            yield from _misplaced(value, (*path, key), below, root)


def expected_of(model: type[BaseModel], field: str) -> str:
    """Description of what a field of a class accepts."""
    root = _json_schema(model)
    return _expected(root["properties"][field], root)


def _explain_one(detail: Mapping[str, Any], path: KeyPath, schema: _Schema, root: _Schema) -> KeyProblem:
    received = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            return KeyProblem(path, f"unknown key; {_known_keys(path, schema)}")
        case "missing":
            return KeyProblem(path, f"is missing; give {_expected(schema, root)}")
        case "union_tag_invalid":
            names = schema["discriminator"]["mapping"]
            return KeyProblem(
                (*path, "name"), f"unknown name {shown(received['name'])}; {choose_from(received['name'], names)}"
            )
        case "union_tag_not_found" if isinstance(received, Mapping):
            return KeyProblem((*path, "name"), f"is missing; {choose_from('', schema['discriminator']['mapping'])}")
        case "value_error":
            return KeyProblem(path, str(detail["ctx"]["error"]))
        case "literal_error" if "enum" in schema:
            return KeyProblem(
                path, f"unknown value {shown(received)}; {choose_from(received, map(str, schema['enum']))}"
            )
        case "too_short":
            return KeyProblem(path, f"is empty; give {_expected(schema, root)}")
        case "too_long":
            return KeyProblem(
                path, f"has {len(received):,} entries; at most {detail['ctx']['max_length']:,} are allowed"
            )
        case "string_too_long":
            limit = detail["ctx"]["max_length"]
            return KeyProblem(
                path, f"got {shown(received)}, {len(received):,} characters; at most {limit:,} are allowed"
            )
    quotes = "; put quotes around it" if detail["type"] == "string_type" and isinstance(received, int | float) else ""
    return KeyProblem(path, f"got {shown(received)}; expected {_expected(schema, root)}{quotes}")


def shown(value: object) -> str:
    """The value as received, shortened if long."""
    text = "nothing" if value is None else repr(value[:100] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _known_keys(path: KeyPath, owner: _Schema) -> str:
    return choose_from(path[-1], owner.get("properties", {}))


@cache
def _json_schema(model: type[BaseModel]) -> _Schema:
    return model.model_json_schema()


def _find(location: tuple[str | int, ...], root: _Schema) -> tuple[KeyPath, _Schema]:
    """Key path of a pydantic location in the document, and the schema there.

    Pydantic mixes names of union members into the location; the schema tells them from keys. For an unknown key,
    the returned schema is that of the enclosing mapping.
    """
    path: list[str | int] = []
    schema = _resolved(root, root)
    for step in location:
        if "discriminator" in schema and step in schema["discriminator"]["mapping"]:
            schema = _resolved({"$ref": schema["discriminator"]["mapping"][step]}, root)
            continue
        inner = _step(schema, step)
        if inner is None:
            return ((*path, step) if "properties" in schema else tuple(path)), schema
        path.append(step)
        schema = _resolved(inner, root)
    return tuple(path), schema


def _step(schema: _Schema, step: str | int) -> _Schema | None:
    if isinstance(step, int):
        return schema.get("items")
    if step in schema.get("properties", {}):
        inner: _Schema = schema["properties"][step]
        return inner
    values = schema.get("additionalProperties")
    return values if isinstance(values, Mapping) else None


def _resolved(schema: _Schema, root: _Schema) -> _Schema:
    """Follow references, and unwrap an optional type."""
    if "$ref" in schema:
        return _resolved(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    members = [member for member in schema.get("anyOf", ()) if member.get("type") != "null"]
    return _resolved(members[0], root) if len(members) == 1 else schema


def _expected(schema: _Schema, root: _Schema) -> str:
    """Description of what a field accepts."""
    schema = _resolved(schema, root)
    if "anyOf" in schema:
        types = {member.get("type") for member in schema["anyOf"]}
        hidden = {"null", "integer"} if "number" in types else {"null"}
        members = [member for member in schema["anyOf"] if member.get("type") not in hidden]
        return " or ".join(dict.fromkeys(_expected(member, root) for member in members))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return f"one of: {', '.join(map(str, schema['enum']))}"
    match schema.get("type"):
        case "integer":
            return f"a whole number{_limits(schema)}"
        case "number":
            return f"a number{_limits(schema)}"
        case "boolean":
            return "true or false"
        case "string":
            return f"text: {schema['description'].split(';')[0].lower()}" if "pattern" in schema else "text"
        case "array":
            return _expected_list(schema.get("items", {}), root)
    return _expected_mapping(schema)


def _expected_list(items: _Schema, root: _Schema) -> str:
    """Item types are left out if there are many."""
    return (
        "a list of values" if len(items.get("anyOf", ())) > 2 or not items else f"a list, each {_expected(items, root)}"
    )


def _expected_mapping(schema: _Schema) -> str:
    if "examples" in schema:
        return f"a mapping, for example {schema['examples'][0]}"
    required = schema.get("required", ())
    return f"a mapping with at least {', '.join(required)}" if required else "a mapping"


def _limits(schema: _Schema) -> str:
    spelled = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    bounds = {key: f"{schema[key]:{',' if isinstance(schema[key], int) else 'g'}}" for key in spelled if key in schema}
    if {"minimum", "maximum"} <= bounds.keys():
        return f" ({bounds['minimum']} to {bounds['maximum']})"
    limits = [f"{spelled[key]} {bound}" for key, bound in bounds.items()]
    return f" ({' and '.join(limits)})" if limits else ""

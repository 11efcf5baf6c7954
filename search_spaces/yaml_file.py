"""Safe YAML with line numbers, duplicate-key errors, intuitive numbers, and environment variables.

Differences from PyYAML's `safe_load`:

- `1e-4` and `1e3` are numbers. `010` is ten; `1:30` and `2024-01-01` are text: no octals, sexagesimals or dates.
- A key written twice is an error.
- `${VAR}` and `${VAR:-default}` in values read the environment, also inside quotes and flow mappings. As in a shell,
  the default also replaces a variable that is set but empty. Unquoted, the result is parsed as YAML (`${N:-20}` is a
  number); in quotes it stays text. In the path of a file or folder, a variable that looks like a secret stays
  `${VAR}` (see `trainables.config.references`).

Booleans are YAML 1.1's: `true`, `false`, `yes`, `no`, `on`, `off`. Anchors, aliases and merge keys work; tags do not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from search_spaces.messages import KeyPath, KeyProblem, shown
from trainables.config.references import is_secret

MAX_CHARACTERS = 2**18
"""Of a file, and of the total its variables expand to; the largest real study has a few thousand."""
_MAX_VALUES = 20_000
"""Per file, counting aliases; enough for a parameter with 10,000 choices."""
_MAX_KEYS = 500
"""Per mapping; a space with every field has about a hundred."""
_LONGEST_KEY = 200
_MAX_DEPTH = 50
_MAX_WHOLE = 2**63

_VARIABLE = re.compile(r"\$\{[^{}\n]*\}")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\}")
_OPEN, _CLOSE = "\ue000", "\ue001"
"""Delimit a variable's number while YAML is parsed: `{` would open a mapping inside `{root: ${DATA}}`."""
_STAND_IN = re.compile(f"{_OPEN}([0-9]{{1,6}}){_CLOSE}")
_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ue000\ue001\u2028-\u202e\u2066-\u2069]")
"""Control characters, which could act on a terminal; lone surrogates, which cannot be encoded; marks that change the
writing direction; and the two delimiters that this module uses itself."""


_PATHS = {("data", "root"), ("data", "cache_dir"), ("model", "weights")}

_YAML = "tag:yaml.org,2002:"
_COLLECTION_TAGS = frozenset({f"{_YAML}map", f"{_YAML}seq"})
_KINDS = {
    f"{_YAML}str": "text",
    f"{_YAML}bool": "true or false",
    f"{_YAML}int": "a whole number of at most 64 bits",
    f"{_YAML}float": "a number",
    f"{_YAML}null": "null",
}


_TOO_MANY = f"more than {_MAX_VALUES:,} values, counting aliases"


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as described in the module docstring."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as PyYAML has it

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Count depth and nodes while composing: PyYAML itself would overflow the stack."""
        self._nodes += 1
        if self._depth > _MAX_DEPTH or self._nodes > 2 * _MAX_VALUES:  # keys are nodes too
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's
            problem = f"nested more than {_MAX_DEPTH} deep" if self._depth > _MAX_DEPTH else _TOO_MANY
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _tag, _pattern, _first in (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("int", r"[-+]?[0-9]+(?:_[0-9]+)*", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"{_YAML}{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    number = int(loader.construct_scalar(node))
    if abs(number) > _MAX_WHOLE:
        raise ValueError("does not fit in 64 bits")
    return number


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor(f"{_YAML}int", _whole)
_Loader.add_constructor(f"{_YAML}float", _float)


@dataclass
class Document:
    """A parsed text: its value, the line of every key path (from 1), and its problems."""

    content: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[tuple[int, KeyProblem]] = field(default_factory=list)
    """Line and problem; `content` is usable except for the keys they name."""
    is_yaml: bool = True
    """False if the text could not be parsed; `content` is then None."""


def parse(text: str, environment: Mapping[str, str], path: KeyPath = ()) -> Document:
    """Parse one YAML document, the value at `path` of a study file. Never raises because of the text: problems go to
    `Document.problems`, with paths relative to the text."""
    document = Document()
    if len(text) > MAX_CHARACTERS:
        message = f"is {len(text):,} characters long; a study file has at most {MAX_CHARACTERS:,}"
        return Document(problems=[(1, KeyProblem((), message))], is_yaml=False)
    try:
        _Reader(text, environment, document, path).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.problems.append((mark.line + 1 if mark else 1, KeyProblem((), f"not YAML: {_syntax(error)}")))
        document.is_yaml = False
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two from an escape beyond Unicode
        document.problems.append((1, KeyProblem((), f"not YAML: {str(error).splitlines()[0]}")))
        document.is_yaml = False
    return document


def _syntax(error: yaml.MarkedYAMLError) -> str:
    opened = error.context_mark
    context = f"{error.context} that begins on line {opened.line + 1}" if error.context and opened else error.context
    said = ", ".join(part for part in (context, error.problem, error.note) if part)
    if "'\\t'" in said:
        said += "; indent with spaces, not tabs"
    elif "mapping values are not allowed" in said:
        said += "; put quotes around a value that contains `: `, and check the indentation"
    return said


def _unread_tag(node: yaml.Node) -> yaml.MarkedYAMLError:
    tag = node.tag.replace(_YAML, "!!")
    return yaml.MarkedYAMLError(problem=f"the tag {tag} is not supported; remove it", problem_mark=node.start_mark)


def _fill_in(content: dict[str, Any], others: dict[str, Any]) -> None:
    """Add what `content` lacks."""
    for key, value in others.items():
        content.setdefault(key, value)


def _is_path(path: KeyPath) -> bool:
    """Whether a field is the path of a file or folder, so that a secret in it can be expanded when that is opened."""
    return path[:2] in _PATHS or "model.weights" in path


class _Reader:
    """Walks the node tree once, building values and noting lines."""

    def __init__(self, text: str, environment: Mapping[str, str], document: Document, beneath: KeyPath) -> None:
        self.variables = [match.group() for match in _VARIABLE.finditer(text)]
        numbers = iter(range(len(self.variables)))
        self.loader = _Loader(_VARIABLE.sub(lambda _: f"{_OPEN}{next(numbers)}{_CLOSE}", text))
        self.environment = environment
        self.document = document
        self.beneath = beneath
        self.count = self.depth = 0
        self.expanded = 0
        """Characters that variables have expanded to."""

    def read(self) -> None:
        try:
            node = self.loader.get_single_node()
            if node is not None:
                self.document.content = self._value(node, ())
        finally:
            self.loader.dispose()

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.count += 1
        if self.count > _MAX_VALUES or self.depth > _MAX_DEPTH:
            problem = _TOO_MANY if self.depth <= _MAX_DEPTH else f"aliases nest it more than {_MAX_DEPTH} deep"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        self.depth += 1
        value = self._value_of(node, path)
        self.depth -= 1
        return value

    def _value_of(self, node: yaml.Node, path: KeyPath) -> Any:
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTION_TAGS:
            raise _unread_tag(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)  # the only other kind of node
        return self._scalar(node, path)

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        self.document.lines[path] = node.start_mark.line + 1
        return self._value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        content: dict[str, Any] = {}
        own_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_YAML}merge":
                _fill_in(content, self._merged(value_node, path))
        for key_node, value_node in node.value:
            if key_node.tag == f"{_YAML}merge":
                continue
            key, line = self._key(key_node), key_node.start_mark.line + 1
            here = (*path, key)
            if key in own_lines:
                self._report(line, here, f"written twice, first on line {own_lines[key]}; keep one")
                continue
            own_lines[key] = self.document.lines[here] = line
            content[key] = self._value(value_node, here)
        if len(content) > _MAX_KEYS:
            problem = f"{len(content):,} keys in one mapping; at most {_MAX_KEYS} are allowed"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return content

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """What `<<:` merges: a mapping, or a list of mappings of which earlier ones win."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for mapping in nodes:
            if not isinstance(mapping, yaml.MappingNode):
                raise yaml.MarkedYAMLError(problem="<< takes a mapping", problem_mark=mapping.start_mark)
            _fill_in(merged, self._value(mapping, path))
        return merged

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be plain text", problem_mark=node.start_mark)
        if _STAND_IN.search(node.value):
            problem = "an environment variable can be a value, not a key"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        key = str(node.value)
        if len(key) > _LONGEST_KEY or _NOT_TEXT.search(key):
            problem = f"a key must be plain text of at most {_LONGEST_KEY} characters, got {shown(key)}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return key

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        if _STAND_IN.search(node.value):
            node.value = _STAND_IN.sub(lambda match: self._expanded(int(match.group(1)), line, path), node.value)
            if node.style is None:
                node.tag = self.loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]  # PyYAML's
        if node.tag not in _KINDS:
            raise _unread_tag(node)
        strange = _NOT_TEXT.search(node.value)
        if strange:
            self._report(line, path, f"contains the character {strange.group()!a}, which is not text; remove it")
            return ""
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError) as error:  # an explicit tag that does not fit, a number of 5,000 digits
            problem = f"{node.value[:40]!r} is not {_KINDS[node.tag]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error

    def _expanded(self, number: int, line: int, path: KeyPath) -> str:
        if number >= len(self.variables):  # the placeholder was written with escapes
            return _OPEN
        written = self.variables[number]
        match = _REFERENCE.fullmatch(written)
        if match is None:
            self._report(line, path, f"cannot read {written}; write ${{NAME}} or ${{NAME:-default}}")
            return ""
        name, default = match.groups()
        value = self.environment.get(name)
        if value is None and default is None:
            advice = f"set it, or write ${{{name}:-default}}"
            self._report(line, path, f"the environment variable {name} is not set; {advice}")
            return ""
        text = default if default is not None and not value else value or ""
        self.expanded += len(text)
        if self.expanded > MAX_CHARACTERS:
            self._report(line, path, f"the variables expand to more than {MAX_CHARACTERS:,} characters in total")
            return ""
        if _is_path((*self.beneath, *path)) and is_secret(name, text):
            return written
        return text

    def _report(self, line: int, path: KeyPath, message: str) -> None:
        self.document.problems.append((line, KeyProblem(path, message)))

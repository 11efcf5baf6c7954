"""Reads a study file into a checked `StudyConfig`, or reports all its problems at once."""

import os
import stat
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search_spaces.messages import MAX_SHOWN, KeyPath, KeyProblem, explain, misplaced_booleans, nearest, shown
from search_spaces.overrides import apply_override, read_override
from search_spaces.salvage import salvage
from search_spaces.schema import StudyConfig
from search_spaces.space_checks import check_first, check_space
from search_spaces.stage_checks import check_stages
from search_spaces.yaml_file import MAX_CHARACTERS, Document, parse
from trainables.errors import InputError

_MAX_OVERRIDES = 500


class StudyFileError(InputError):
    """All problems of a study file, one per line."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Store the problems as they will be shown."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load_study(path: Path, overrides: Sequence[str] = (), environment: Mapping[str, str] = os.environ) -> StudyConfig:
    """Read, override and check a study file.

    Args:
        path: the study file.
        overrides: `key=value` each; the key is dotted, the value is YAML. Later ones win.
        environment: where `${VAR}` is looked up.

    Raises:
        StudyFileError: every problem found, each with file and line (or override), key, and what would be right.
    """
    if len(overrides) > _MAX_OVERRIDES:
        raise StudyFileError([f"--set is given {len(overrides):,} times; the limit is {_MAX_OVERRIDES}"])
    document = parse(_read(path), environment)
    report = _Report(path, document)
    if document.is_yaml and report.is_mapping():
        content = report.overridden(overrides, environment)
        study = report.checked(content)
        if study is not None and not report.sentences():
            return study
    raise StudyFileError(report.sentences())


def _read(path: Path) -> str:
    """The file's text. Devices and pipes are refused, as reading them may never end; so are files too long to parse."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError
            if not stat.S_ISREG(status.st_mode):
                raise StudyFileError([f"{path}: is a device, pipe or socket; give a YAML file"])
            if status.st_size > 4 * MAX_CHARACTERS:
                size = f"{status.st_size:,} bytes; a study file has at most {MAX_CHARACTERS:,} characters"
                raise StudyFileError([f"{path}: has {size}"])
            return file.read(4 * MAX_CHARACTERS).decode("utf-8")
    except FileNotFoundError:
        raise StudyFileError([f"{path}: no such file{_near_files(path)}"]) from None
    except IsADirectoryError:
        raise StudyFileError(
            [f"{path}: is a folder; name a study file in it{_near_files(path / 'study.yaml')}"]
        ) from None
    except UnicodeDecodeError as error:
        raise StudyFileError([f"{path}: is not UTF-8 text (byte {error.start}); give a YAML file"]) from None
    except OSError as error:
        raise StudyFileError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except ValueError as error:  # a null character
        raise StudyFileError([f"{str(path)!r}: cannot be read: {error}"]) from None


def _near_files(path: Path) -> str:
    folder = path.parent
    if not os.path.isdir(folder):  # `Path.is_dir` raises if a name is too long
        return f"; the folder {folder} does not exist"
    names = sorted(file.name for file in folder.iterdir() if file.suffix in (".yaml", ".yml"))
    near = nearest(path.name, names)
    if near:
        return f"; did you mean {folder / near}?"
    return f"; {folder} has {', '.join(names[:10])}" if names else f"; {folder} has no YAML files"


class _Report:
    """The problems of one study file, and where each key was written."""

    def __init__(self, path: Path, document: Document) -> None:
        self.path = path
        self.content = document.content
        self.lines = dict(document.lines)
        self.unread = list(document.problems)
        """Problems of the text itself. Further problems of their keys are not reported; an override clears them."""
        self.problems: list[tuple[int, str]] = []
        """Line number for sorting, and the full message; problems of overrides come last."""
        self.origins: dict[KeyPath, str] = {}
        """Overridden key to the override as written. Later ones win."""

    def sentences(self) -> list[str]:
        """Problems in file order, at most `MAX_SHOWN`."""
        unread = [(line, f"{self.path}:{line}: {problem}") for line, problem in self.unread]
        texts = list(dict.fromkeys(text for _, text in sorted(unread + self.problems, key=itemgetter(0))))
        more = len(texts) - MAX_SHOWN
        return texts if more <= 0 else [*texts[:MAX_SHOWN], f"{self.path}: and {more:,} more problems like these"]

    def add(self, problem: KeyProblem) -> None:
        """Record a problem at the line of its key, or of the nearest enclosing key."""
        if problem.path in self._unread_paths():
            return
        override = self._override_of(problem.path)
        if override is not None:
            self.problems.append((_LAST, f"--set {override}: {problem}"))
            return
        prefixes = (problem.path[:length] for length in range(len(problem.path), 0, -1))
        line = next((self.lines[path] for path in prefixes if path in self.lines), 1)
        self.problems.append((line, f"{self.path}:{line}: {problem}"))

    def _unread_paths(self) -> set[KeyPath]:
        return {problem.path for _, problem in self.unread}

    def _override_of(self, path: KeyPath) -> str | None:
        """The override that set `path`, or that created the mapping at `path`."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
            if path[:length] in self.lines:
                break
        beneath = (text for key, text in self.origins.items() if key[: len(path)] == path)
        return None if path in self.lines else next(beneath, None)

    def is_mapping(self) -> bool:
        """Whether the top level of the file is a mapping; records a problem if not."""
        if self.content is None:
            self.add(KeyProblem((), "is empty; a study file needs at least name, data and space"))
        elif not isinstance(self.content, dict):
            found = "a list" if isinstance(self.content, list) else f"only the value {shown(self.content)}"
            self.add(
                KeyProblem(
                    (), f"contains {found}; a study file is a mapping of keys to values, such as `name: my-study`"
                )
            )
        return isinstance(self.content, dict)

    def overridden(self, overrides: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
        """The file's content with the overrides applied."""
        content: dict[str, Any] = deepcopy(self.content)
        for text in overrides:
            path, value, problems = read_override(text, environment)
            if not problems:
                problems = apply_override(content, path, value)
            for problem in problems:
                self.problems.append((_LAST, f"--set {_short(text)}: {problem}"))
            if path:
                self._forget(path)
                self.origins[path] = _short(text)
        return content

    def _forget(self, path: KeyPath) -> None:
        """Drop lines, overrides and problems at `path` and below, which a new override replaces."""
        self.lines = {key: line for key, line in self.lines.items() if key[: len(path)] != path}
        self.origins = {key: text for key, text in self.origins.items() if key[: len(path)] != path}
        self.unread = [(line, problem) for line, problem in self.unread if problem.path[: len(path)] != path]

    def checked(self, content: dict[str, Any]) -> StudyConfig | None:
        """The study, or its readable part; records every problem of schema and space."""
        found = misplaced_booleans(content, StudyConfig)
        try:
            study: StudyConfig | None = StudyConfig.model_validate(content)
        except ValidationError as error:
            found += explain(error, StudyConfig)
            study = salvage(content, found)
        for problem in found:
            self.add(problem)
        if study is not None:
            written = content["space"] if isinstance(content.get("space"), dict) else {}
            unreadable = written.keys() - study.space.keys()
            checks = chain(check_space(study, unreadable), check_stages(study, unreadable), check_first(study))
            for problem in islice(checks, MAX_SHOWN + 1):
                self.add(problem)
        return study


def _short(override: str) -> str:
    """An override as shown in messages: shortened, with control characters escaped."""
    text = override if len(override) <= 120 else f"{override[:117]}..."
    return text if text.isprintable() else ascii(text)[1:-1]


_LAST = 10**9

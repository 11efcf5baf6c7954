"""From a study file to a checked `StudyConfig`, or to every problem at once."""

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
    """All that is wrong with a study file, one problem a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take the problems as they will be shown."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load_study(path: Path, overrides: Sequence[str] = (), environment: Mapping[str, str] = os.environ) -> StudyConfig:
    """Read, override and check a study file.

    Args:
        path: the study file.
        overrides: `key=value` each, later ones winning; the key is dotted, the value YAML.
        environment: where `${VAR}` is looked up.

    Raises:
        StudyFileError: every problem found, each with file and line (or override), key, and what would be right.
    """
    if len(overrides) > _MAX_OVERRIDES:
        raise StudyFileError([f"--set is given {len(overrides):,} times; at most {_MAX_OVERRIDES} are read"])
    document = parse(_read(path), environment)
    report = _Report(path, document)
    if document.is_yaml and report.is_mapping():
        content = report.overridden(overrides, environment)
        study = report.checked(content)
        if study is not None and not report.sentences():
            return study
    raise StudyFileError(report.sentences())


def _read(path: Path) -> str:
    """The file's text, at most a little more than `parse` takes; a device or a pipe might never end, or never begin."""
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
        raise StudyFileError([f"{path}: there is no such file{_near_files(path)}"]) from None
    except IsADirectoryError:
        raise StudyFileError(
            [f"{path}: is a folder; name a study file in it{_near_files(path / 'study.yaml')}"]
        ) from None
    except UnicodeDecodeError as error:
        raise StudyFileError([f"{path}: is not text in UTF-8 (byte {error.start}); give a YAML file"]) from None
    except OSError as error:
        raise StudyFileError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except ValueError as error:  # a null character
        raise StudyFileError([f"{str(path)!r}: cannot be read: {error}"]) from None


def _near_files(path: Path) -> str:
    folder = path.parent
    if not os.path.isdir(folder):  # `Path.is_dir` raises where a name is too long
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
        """Of the text itself: what comes of their keys is not worth a second line, and an override settles them."""
        self.problems: list[tuple[int, str]] = []
        """Line, for sorting, and the whole sentence; problems of overrides come last."""
        self.origins: dict[KeyPath, str] = {}
        """Overridden key to the override as written; later ones win."""

    def sentences(self) -> list[str]:
        """Every problem, in the order of the file; of very many the first."""
        unread = [(line, f"{self.path}:{line}: {problem}") for line, problem in self.unread]
        texts = list(dict.fromkeys(text for _, text in sorted(unread + self.problems, key=itemgetter(0))))
        more = len(texts) - MAX_SHOWN
        return texts if more <= 0 else [*texts[:MAX_SHOWN], f"{self.path}: and {more:,} more problems like these"]

    def add(self, problem: KeyProblem) -> None:
        """Note a problem where its key was written, or failing that the nearest key that holds it."""
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
        """The override that wrote `path`, or made the mapping at `path` that the file does not have."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
            if path[:length] in self.lines:
                break
        beneath = (text for key, text in self.origins.items() if key[: len(path)] == path)
        return None if path in self.lines else next(beneath, None)

    def is_mapping(self) -> bool:
        """Whether the file holds keys with values at its top; if not, a problem is noted."""
        if self.content is None:
            self.add(KeyProblem((), "is empty; a study file has at least name, data and space"))
        elif not isinstance(self.content, dict):
            found = "a list" if isinstance(self.content, list) else f"only the value {shown(self.content)}"
            self.add(KeyProblem((), f"holds {found}; a study file has keys with values, such as `name: my-study`"))
        return isinstance(self.content, dict)

    def overridden(self, overrides: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
        """The file's content with the overrides in place."""
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
        """What was written at `path` and beneath it has been overridden."""
        self.lines = {key: line for key, line in self.lines.items() if key[: len(path)] != path}
        self.origins = {key: text for key, text in self.origins.items() if key[: len(path)] != path}
        self.unread = [(line, problem) for line, problem in self.unread if problem.path[: len(path)] != path]

    def checked(self, content: dict[str, Any]) -> StudyConfig | None:
        """The study, or what its readable part makes, with every problem of schema and space noted."""
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
    """An override as it is named in messages: without what would act on a terminal."""
    text = override if len(override) <= 120 else f"{override[:117]}..."
    return text if text.isprintable() else ascii(text)[1:-1]


_LAST = 10**9

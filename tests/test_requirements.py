"""requirements.txt, which `make lock` writes, against constraints.txt and pyproject.toml. No network."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[1]
_CHOSEN_BY_TORCH = ("nvidia-", "cuda-", "triton")


def _pins(text: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    pins = {canonicalize_name(name): version for name, version in found}
    assert len(pins) == len(found), "a package is named twice"
    return pins


@pytest.fixture(scope="module")
def lock_text() -> str:
    return (_ROOT / "requirements.txt").read_text()


@pytest.fixture(scope="module")
def lock(lock_text: str) -> dict[str, str]:
    return _pins(lock_text)


def test_versions_are_those_of_the_constraints(lock: dict[str, str]) -> None:
    constraints = _pins((_ROOT / "constraints.txt").read_text())
    others = {name: version for name, version in lock.items() if not name.startswith(_CHOSEN_BY_TORCH)}
    assert others == {name: constraints.get(name) for name in others}


def test_whatever_the_program_needs_is_locked(lock: dict[str, str]) -> None:
    pyproject = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    build = pyproject["build-system"]["requires"] + project["optional-dependencies"]["build"]
    for line in project["dependencies"] + build:
        requirement = Requirement(line)
        version = lock.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is missing from requirements.txt; run `make lock`"
        assert version in requirement.specifier, f"{requirement} but requirements.txt has {version}; run `make lock`"


def test_each_requirement_has_hashes_and_nothing_else_is_named(lock_text: str) -> None:
    joined = lock_text.replace("\\\n", " ").splitlines()
    lines = [line for line in joined if line.strip() and not line.startswith("#")]
    assert lines[0] == "--only-binary :all:"  # the code of a source package would run while it is installed
    for line in lines[1:]:
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.+!]+(\s+--hash=sha256:[0-9a-f]{64})+", line.strip()), line[:80]


_IMPORTED_AS = {"pillow": "PIL", "scikit-learn": "sklearn", "pyyaml": "yaml"}


def _files_of_dependencies() -> list[tuple[str, str]]:
    """Each dependency with each path that its comment in pyproject.toml names."""
    lines = re.findall(r'^    "([\w-]+)[^"]*",\s*# (.*)$', (_ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    return [(name, path) for name, comment in lines for path in re.findall(r"[\w./-]+/(?:[\w-]+\.py)?", comment)]


@pytest.mark.parametrize(("name", "path"), _files_of_dependencies())
def test_the_comment_on_a_dependency_names_what_needs_it(name: str, path: str) -> None:
    named = _ROOT / path
    files = [named] if named.is_file() else [*named.rglob("*.py")]
    assert files, f"{path} does not exist"
    if path.startswith(("cli/", "search_spaces/", "trainables/", "tuning/")):
        module = _IMPORTED_AS.get(name, name)
        pattern = re.compile(rf"^\s*(?:import|from) {module}\b", re.MULTILINE)
        assert any(pattern.search(file.read_text()) for file in files), f"{path} does not import {module}"

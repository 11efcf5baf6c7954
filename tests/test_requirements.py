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

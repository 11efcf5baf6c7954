"""The exit code of `make audit`: no answer is never mistaken for a good one."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_CLEAN = {"name": "six", "version": "1.17.0", "vulns": []}
_VULNERABLE = {"name": "ray", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
_UNFIXED = {"name": "ray", "version": "2.0", "vulns": [{"id": "CVE-2", "fix_versions": []}]}
_SKIPPED = {"name": "torch", "skip_reason": "not found: torch"}


@pytest.mark.parametrize(
    ("packages", "code", "message"),
    [
        ([_CLEAN], 0, "audit: no known vulnerabilities in 1 packages"),
        ([_CLEAN, _VULNERABLE], 1, "ray 2.0: CVE-1, fixed in 2.1"),
        ([_SKIPPED, _UNFIXED], 1, "ray 2.0: CVE-2, fixed in no version"),
        ([_CLEAN, _SKIPPED], 1, "audit: no answer for 1 of 2 packages: torch"),
        ([_SKIPPED], 0, "audit: NOT DONE"),
        ([], 1, "audit: the requirements file names no package"),
    ],
)
def test_what_the_index_answered_decides(audit: ModuleType, packages: list[Any], code: int, message: str) -> None:
    found_code, found_message = audit.verdict(0, json.dumps({"dependencies": packages, "fixes": []}), "")
    assert found_code == code
    assert message in found_message


def test_an_error_that_is_not_of_the_network_fails(audit: ModuleType) -> None:
    code, message = audit.verdict(1, "", "ERROR: requirement six is not pinned")
    assert (code, message) == (1, "audit: pip-audit failed:\nERROR: requirement six is not pinned")
    assert audit.verdict(-9, "", "")[0] == 1
    # Something answered, but not with the certificate of the index.
    assert audit.verdict(1, "", "requests.exceptions.SSLError: certificate verify failed")[0] == 1


def _audit(requirements: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    nowhere = "http://127.0.0.1:9"
    environment = {**os.environ, "HTTPS_PROXY": nowhere, "https_proxy": nowhere, "PIP_CACHE_DIR": str(folder)}
    environment |= {"NO_PROXY": "", "no_proxy": ""}
    command = [sys.executable, str(_SCRIPT), str(requirements)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_index_out_of_reach_is_said_and_a_bad_file_fails(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    answer = _audit(requirements, tmp_path / "cache")
    assert answer.returncode == 0, answer.stderr
    assert "audit: NOT DONE" in answer.stdout
    requirements.write_text("six\n")
    assert _audit(requirements, tmp_path / "cache").returncode == 1

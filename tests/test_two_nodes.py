"""Studies on Ray clusters of one or two nodes that `ray start` began, on one machine."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import trainables
from tests.workplace import Workplace
from tuning.storage.journal import TrialFinished, TrialStarted

pytestmark = pytest.mark.slow

_TOKEN = "0123456789abcdef" * 4


DOCTORED = {
    "code": """
import shutil, sys, tempfile, importlib.machinery, pathlib
class Doctored:
    \"\"\"Finds `trainables` in a copy whose results are too good.\"\"\"
    def find_spec(self, name, path=None, target=None):
        if name != "trainables":
            return None
        copy = pathlib.Path(tempfile.mkdtemp()) / "trainables"
        shutil.copytree(ORIGINAL, copy)
        loop = copy / "training" / "loop.py"
        loop.write_text(loop.read_text().replace('"val_accuracy": validation.accuracy', '"val_accuracy": 0.9999'))
        return importlib.machinery.PathFinder.find_spec(name, [str(copy.parent)])
sys.meta_path.insert(0, Doctored())
""",
    "torch": """
import importlib.metadata
_version = importlib.metadata.version
importlib.metadata.version = lambda name: "1.13.1" if name == "torch" else _version(name)
""",
}


@contextmanager
def cluster(nodes: int, second: dict[str, str] | None = None, **environment: str) -> Iterator[str]:
    """Address of a cluster of nodes with one CPU each; `second` is the environment of the second alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Ray puts sockets under its folder, and their paths may be 107 characters long.
    temporary = Path("/tmp") / f"ray-{os.getpid()}-{port}"
    address = f"127.0.0.1:{port}"
    head = ["--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false"]
    others = [f"--address={address}", "--node-ip-address=127.0.0.1"]
    started: list[subprocess.Popen[bytes]] = []
    try:
        extras: list[dict[str, str]] = [{}, second or {}]
        for arguments, extra in zip(
            [[*head, f"--temp-dir={temporary}"], *[others] * (nodes - 1)], extras, strict=False
        ):
            command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *arguments]
            started.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **environment, **extra},
                    start_new_session=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            time.sleep(8)
            assert started[-1].poll() is None, "ray start ended"
        yield address
    finally:
        for node in reversed(started):
            os.killpg(node.pid, signal.SIGTERM)
            node.wait(timeout=60)
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def with_token() -> Iterator[str]:
    """Address of a cluster of two nodes that ask for a token."""
    with cluster(2, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_TOKEN) as address:
        yield address


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return home


def _write_token(home: Path, token: str) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text(token)


def test_a_study_runs_over_two_nodes(tmp_path: Path, with_token: str, home: Path) -> None:
    _write_token(home, _TOKEN)
    workplace = Workplace(tmp_path)
    # Long enough that both nodes' workers are up while the first trials still run.
    long = ["--set", "training.max_epochs=60", "--set", "search.scheduler=none", "--trials", "4"]
    process = workplace.start(
        "run", "small.yaml", "--address", with_token, "--storage", str(tmp_path / "studies"), *long
    )
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "does not require a token" not in output
    record = workplace.record()
    assert record.state == "finished"
    assert len(record.trials) == 4
    # Each node has room for one trial: two at once means that both work.
    running, most = set(), 0
    for event in workplace.events():
        if isinstance(event, TrialStarted):
            running.add(event.number)
        elif isinstance(event, TrialFinished):
            running.discard(event.number)
        most = max(most, len(running))
    assert most == 2


@pytest.mark.parametrize(
    ("name", "difference"),
    [("code", r"the code of trainables is \w+, not \w+"), ("torch", r"torch is 1\.13\.1, not \S+")],
)
def test_a_node_with_other_code_or_versions_trains_nothing(
    tmp_path: Path, home: Path, name: str, difference: str
) -> None:
    _write_token(home, _TOKEN)
    original = Path(trainables.__file__).parent
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(f"ORIGINAL = {str(original)!r}\n{DOCTORED[name]}")
    path = os.pathsep.join((str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])))
    workplace = Workplace(tmp_path)
    long = ["--set", "training.max_epochs=20", "--set", "search.scheduler=none", "--trials", "4"]
    with cluster(2, {"PYTHONPATH": path}, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_TOKEN) as address:
        storage = str(tmp_path / "studies")
        process = workplace.start("run", "small.yaml", "--address", address, "--storage", storage, *long)
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert re.search(rf"warning: a worker on \S+ cannot train for this study: {difference}", output + errors)
    record = workplace.record()
    assert [trial.state for trial in record.trials] == ["completed"] * 4
    assert all(len(trial.epochs) == 20 for trial in record.trials)
    assert max(epoch["val_accuracy"] for trial in record.trials for epoch in trial.epochs) < 0.9999


def test_a_cluster_without_a_token_is_joined_with_a_warning(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_token(home, _TOKEN)  # of another cluster
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # on 127.0.0.1, so that nobody else gets in
    workplace = Workplace(tmp_path)
    with cluster(1, RAY_AUTH_MODE="disabled") as address:
        process = workplace.start("run", "small.yaml", "--address", address, "--trials", "1")
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert f"warning: the Ray cluster at {address} does not require a token" in output


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "requires a token, but ~/.ray/auth_token has none. `ray get-auth-token`"),
        ({"RAY_AUTH_TOKEN": "0" * 64}, "rejects the token in RAY_AUTH_TOKEN. `ray get-auth-token`"),
        ({"RAY_AUTH_TOKEN_PATH": "wrong"}, "rejects the token in RAY_AUTH_TOKEN_PATH (wrong). `ray get-auth-token`"),
        ({"RAY_AUTH_TOKEN_PATH": "missing"}, "requires a token, but RAY_AUTH_TOKEN_PATH (missing) has none. `ray"),
        (
            {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": _TOKEN},
            "requires a token, but RAY_AUTH_MODE is 'disabled'; unset it, or set it to token",
        ),
    ],
    ids=["none", "wrong", "wrong file", "missing file", "disabled"],
)
def test_a_cluster_that_refuses_the_token(
    tmp_path: Path, with_token: str, environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = Workplace(tmp_path)
    (tmp_path / "wrong").write_text("0" * 64)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    errors = _refused(workplace, with_token)
    assert f"the Ray cluster at {with_token} {message}" in errors
    assert "000000" not in errors
    assert _TOKEN not in errors


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("ray://127.0.0.1:10001", "--address is 'ray://127.0.0.1:10001'; it takes `auto` or the HOST:PORT"),
        ("local", "--address is 'local'; it takes `auto` or the HOST:PORT"),
    ],
)
def test_no_cluster_at_the_address(tmp_path: Path, address: str, message: str) -> None:
    assert message in _refused(Workplace(tmp_path), address)


def _refused(workplace: Workplace, address: str) -> str:
    """The message of a study that is not begun."""
    process = workplace.start("run", "small.yaml", "--address", address)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    assert not workplace.journal.exists()
    return " ".join(errors.split())

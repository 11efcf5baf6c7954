"""One study over two Ray nodes that `ray start` began, on one machine."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import trainables
from tests.workplace import Workplace
from tuning.storage.journal import TrialFinished, TrialStarted

pytestmark = pytest.mark.slow

_ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


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


@pytest.fixture
def second_node() -> dict[str, str]:
    """Environment of the second node alone."""
    return {}


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory, second_node: dict[str, str]) -> Iterator[str]:
    """Address of a cluster of two nodes with one CPU each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Ray puts sockets under its folder, and their paths may be 107 characters long.
    temporary = Path("/tmp") / f"ray-{os.getpid()}-{port}"
    address = f"127.0.0.1:{port}"
    head = ["--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false"]
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for arguments, extra in (
            ([*head, f"--temp-dir={temporary}"], {}),
            ([f"--address={address}", "--node-ip-address=127.0.0.1"], second_node),
        ):
            command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *arguments]
            nodes.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, **_ENVIRONMENT, **extra},
                    start_new_session=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            time.sleep(8)
            assert nodes[-1].poll() is None, "ray start ended"
        yield address
    finally:
        for node in reversed(nodes):
            os.killpg(node.pid, signal.SIGTERM)
            node.wait(timeout=60)


def test_a_study_runs_over_two_nodes(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    workplace = Workplace(tmp_path)
    # Long enough that both nodes' workers are up while the first trials still run.
    long = ["--set", "training.max_epochs=60", "--set", "search.scheduler=none", "--trials", "4"]
    workplace.run("run", "small.yaml", "--address", address, "--storage", str(tmp_path / "studies"), *long)
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


@pytest.fixture
def doctored_node(request: pytest.FixtureRequest, second_node: dict[str, str], tmp_path: Path) -> None:
    """Have every process of the second node begin with one of `DOCTORED`."""
    original = Path(trainables.__file__).parent
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(f"ORIGINAL = {str(original)!r}\n{DOCTORED[request.param]}")
    second_node["PYTHONPATH"] = os.pathsep.join((str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])))


@pytest.mark.parametrize(
    ("doctored_node", "difference"),
    [("code", r"the code of trainables is \w+, not \w+"), ("torch", r"torch is 1\.13\.1, not \S+")],
    indirect=["doctored_node"],
)
@pytest.mark.usefixtures("doctored_node")
def test_a_node_with_other_code_or_versions_trains_nothing(
    tmp_path: Path, address: str, difference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    workplace = Workplace(tmp_path)
    long = ["--set", "training.max_epochs=20", "--set", "search.scheduler=none", "--trials", "4"]
    process = workplace.start("run", "small.yaml", "--address", address, "--storage", str(tmp_path / "studies"), *long)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert re.search(rf"warning: a worker on \S+ trains nothing for this study: {difference}", errors), errors
    record = workplace.record()
    assert [trial.state for trial in record.trials] == ["completed"] * 4
    assert all(len(trial.epochs) == 20 for trial in record.trials)
    assert max(epoch["val_accuracy"] for trial in record.trials for epoch in trial.epochs) < 0.9999


def test_no_cluster_at_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    workplace = Workplace(tmp_path)
    process = workplace.start("run", "small.yaml", "--address", "127.0.0.1:1")
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in errors
    assert "Traceback" not in errors
    assert not workplace.journal.exists()

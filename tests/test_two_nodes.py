"""One study over two Ray nodes that `ray start` began, on one machine."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workplace import Workplace
from tuning.storage.journal import TrialFinished, TrialStarted

pytestmark = pytest.mark.slow

_ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
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
        for arguments in ([*head, f"--temp-dir={temporary}"], [f"--address={address}", "--node-ip-address=127.0.0.1"]):
            command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *arguments]
            nodes.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, **_ENVIRONMENT},
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

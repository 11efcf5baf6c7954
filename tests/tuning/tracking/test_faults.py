"""MLflow or its follower dies: nothing is lost, nothing is there twice. A real `mlflow server`, real kills."""

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from trainables.errors import InputError
from tuning.tracking.mirror import Mirror
from tuning.tracking.preflight import check_reachable
from tuning.tracking.state import read_state

pytestmark = pytest.mark.slow

FOLLOW = """
from pathlib import Path
from tuning.storage.paths import StudyFolder
from tuning.tracking import session
from tuning.tracking.mirror import Mirror
session._EVENTS_AT_ONCE = 7  # many small steps, many moments to die at
Mirror(StudyFolder(Path(storage), "tiny"), uri).bring_up_to_date()
"""


UNTIL_STDIN_CLOSES = '"$@" & read nothing; kill -KILL 0'
"""Shell: run a command until whoever holds the other end of the pipe is gone, however it went; then kill the group."""


class Server:
    """`mlflow server` on 127.0.0.1 over one SQLite file, killed by its process group; dies with this process."""

    def __init__(self, folder: Path, database: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._database = database
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self._database, "--workers", "1"]
        command += ["--artifacts-destination", str(self._folder / "artifacts"), "--port", str(self.port)]
        log = open(self._folder / "server.log", "ab")  # noqa: SIM115  # the server's own from here on
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else nine more processes
        self._process = subprocess.Popen(
            ["sh", "-c", UNTIL_STDIN_CLOSES, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=self._folder,
            env=environment,
            start_new_session=True,
        )
        log.close()
        end = time.monotonic() + 90
        while not self._answers():
            assert time.monotonic() < end, (self._folder / "server.log").read_text()
            time.sleep(0.2)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def pause(self) -> None:
        """Leave connections open and unanswered."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@pytest.fixture
def server(tmp_path, uri):
    server = Server(tmp_path, uri)
    yield server
    server.kill()


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def saved_offset(folder):
    state = read_state(folder)
    return 0 if state is None else state.offset


def test_server_killed_and_restarted_in_mid_study(server, study, contents, undisturbed):
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        check_reachable(server.uri)
    server.start()
    check_reachable(server.uri)
    mirror = Mirror(study.folder, server.uri)
    mirror.start()
    study.open()
    study.trial(0)
    wait_until(lambda: mirror.health().events_waiting == 0)
    server.kill()
    began = time.monotonic()
    study.trial(1)
    study.trial(2, "failed", "ValueError: no")
    assert time.monotonic() - began < 1, "the driver does not wait for MLflow"
    wait_until(lambda: mirror.health().problem)
    assert mirror.health().events_waiting > 0
    server.start()
    study.trial(3)
    study.end()
    assert mirror.close(60)
    held = contents(server.uri, study.folder)
    assert held == undisturbed(study.folder)
    assert held["study"]["documents"]["study.yaml"].startswith("name: tiny")


def test_server_gone_for_the_rest_of_the_study(server, study, contents, undisturbed):
    server.start()
    mirror = Mirror(study.folder, server.uri)
    mirror.start()
    study.open()
    study.trial(0)
    wait_until(lambda: mirror.health().events_waiting == 0)
    server.kill()
    study.trial(1)
    study.end()
    began = time.monotonic()
    assert mirror.close(5) is False
    assert time.monotonic() - began < 6
    server.start()
    Mirror(study.folder, server.uri).bring_up_to_date()  # what `tune-cli sync` does
    assert contents(server.uri, study.folder) == undisturbed(study.folder)


def test_requests_that_time_out_and_are_carried_out_all_the_same(server, study, contents, undisturbed, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    server.start()
    study.open()
    mirror = Mirror(study.folder, server.uri)
    mirror.start()
    wait_until(lambda: mirror.health().events_waiting == 0)
    server.pause()
    study.trial(0)
    wait_until(lambda: mirror.health().problem)
    server.go_on()
    study.trial(1)
    study.end()
    assert mirror.close(60)
    assert contents(server.uri, study.folder) == undisturbed(study.folder)


def test_a_server_started_on_a_read_only_database(study, tmp_path, uri, contents, undisturbed):
    server = Server(tmp_path, f"sqlite:///file:{tmp_path / 'mlflow.db'}?mode=ro&uri=true")
    try:
        server.start()
        check_reachable(server.uri)
        mirror = Mirror(study.folder, server.uri)
        mirror.start()
        study.open()
        study.trial(0)
        study.end()
        wait_until(lambda: mirror.health().problem)
        assert mirror.close(10) is False
        server.kill()
        server._database = uri
        server.start()
        Mirror(study.folder, server.uri).bring_up_to_date()
        assert contents(server.uri, study.folder) == undisturbed(study.folder)
    finally:
        server.kill()


def test_follower_killed_at_random_moments(study, uri, contents, undisturbed):
    moments = random.Random(0)
    study.open()
    for number in range(60):
        study.trial(number, epochs=5)
    study.end()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tuning.tracking", "mlflow.store.tracking.sqlalchemy_store"])
    offsets = [0]
    for _ in range(12):
        names = {"storage": str(study.folder.storage), "uri": uri}
        follower = processes.Process(target=exec, args=(FOLLOW, names))
        follower.start()
        wait_until(lambda: saved_offset(study.folder) > offsets[-1])
        time.sleep(moments.uniform(0.0, 0.1))
        follower.kill()
        follower.join()
        follower.close()
        offsets.append(saved_offset(study.folder))
    assert offsets[-1] < study.folder.journal.stat().st_size, "the last kill came too late"
    Mirror(study.folder, uri).bring_up_to_date()
    assert contents(uri, study.folder) == undisturbed(study.folder)

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuning.storage.paths import StudyFolder

_DRIVER = """
import signal, sys, threading, pathlib
from tuning.storage.journal import Journal, StudyEnded
from tuning.storage.paths import StudyFolder
from tuning.storage.lock import study_lock
asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
folder = StudyFolder(pathlib.Path("studies"), "digits-cnn")
with study_lock(folder):
    print("holding", flush=True)
    asked.wait()
    if len(sys.argv) == 1:
        Journal(folder.journal).append(StudyEnded(state="interrupted", reason="asked to stop"))
"""


@pytest.fixture
def driver(tmp_path: Path, events, request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock of a running study and ends when asked to; with a parameter, without a word."""
    events.write(tmp_path / "studies", [events.opened(time=time.time()), *events.trial(0, [0.5], None)])
    command = [sys.executable, "-c", _DRIVER, *getattr(request, "param", [])]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    yield process
    process.kill()
    process.communicate()


def test_a_running_study_names_its_driver_and_heartbeat(driver, run_cli) -> None:
    out = run_cli("status", "digits-cnn").out
    assert f"running (process {driver.pid} on {socket.gethostname()}" in out
    assert "last heartbeat" in out
    assert "1 running" in out


def test_a_killed_driver_is_said_to_have_died(driver, run_cli) -> None:
    driver.kill()
    driver.wait()
    out = run_cli("status", "digits-cnn").out
    assert f"driver died (process {driver.pid}" in out
    assert "tune-cli resume digits-cnn" in out


def test_stop_ends_the_driver_and_waits_for_it(driver, run_cli) -> None:
    finished = run_cli("stop", "digits-cnn")
    assert finished.code == 0
    assert "tune-cli resume digits-cnn" in finished.out
    assert driver.wait(timeout=10) == 0


@pytest.mark.parametrize("driver", [["without a word"]], indirect=True)
def test_stop_says_when_the_driver_ended_without_its_last_word(driver, run_cli) -> None:
    finished = run_cli("stop", "digits-cnn")
    assert finished.code == 1
    assert "tune-cli resume digits-cnn" in finished.err


def test_a_driver_on_another_machine_is_not_signalled(study: StudyFolder, run_cli) -> None:
    with open(study.lock, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps({"pid": os.getpid(), "host": "elsewhere", "since": 0.0}))
        lock.flush()
        finished = run_cli("stop", "digits-cnn")
    assert finished.code == 2
    assert f"process {os.getpid()} on elsewhere" in finished.err


def test_no_process_is_stopped_that_does_not_hold_the_lock(study: StudyFolder, run_cli) -> None:
    with (
        open(study.lock, "wb") as lock,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps({"pid": other.pid, "host": socket.gethostname(), "since": 0.0}).encode())
        lock.flush()
        named = run_cli("stop", "digits-cnn")
        lock.truncate(5)
        damaged = run_cli("stop", "digits-cnn")
        status = run_cli("status", "digits-cnn")
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0
    assert (named.code, damaged.code, status.code) == (2, 2, 0)
    assert f"names process {other.pid}, which does not have that file open" in named.err
    assert "the file is damaged" in damaged.err
    assert "its lock file is damaged" in status.out


def test_there_is_nothing_to_stop_in_a_finished_study(study, run_cli) -> None:
    finished = run_cli("stop", "digits-cnn")
    assert finished.code == 0
    assert "nothing to stop" in finished.out


def test_status_without_a_name_lists_every_study(tmp_path: Path, study, events, run_cli) -> None:
    events.write(tmp_path / "studies", [events.opened(name="other")], name="other")
    out = run_cli("status").out
    assert "digits-cnn: finished: all 8 trials are done" in out
    assert "6 of 8 trials" in out
    assert "best val_accuracy 95.00 %, trial 2" in out
    assert "other: driver died" in out


def test_one_unreadable_study_does_not_hide_the_others(tmp_path: Path, study, events, run_cli) -> None:
    folder = events.write(tmp_path / "studies", [events.opened(name="broken")], name="broken")
    folder.journal.write_text("nonsense\n")
    finished = run_cli("status")
    assert finished.code == 0
    assert "broken: unreadable" in finished.out
    assert "digits-cnn: finished" in finished.out


def test_status_of_an_empty_storage_says_so(run_cli) -> None:
    finished = run_cli("status", "--storage", "nowhere")
    assert (finished.code, finished.out) == (0, "no studies in nowhere/\n")


def test_status_says_what_mlflow_lacks_and_the_command_that_writes_it(study: StudyFolder, run_cli) -> None:
    problem = {"tracking_uri": "sqlite:////tmp/a b.db", "failing_since": time.time() - 90, "problem": "away"}
    study.mirror_problem.write_text(json.dumps(problem))
    out = run_cli("status", "digits-cnn").out
    assert "MLflow at sqlite:////tmp/a b.db has not accepted data since" in out
    assert " ago: away" in out
    assert "are not in MLflow; `tune-cli sync digits-cnn --tracking-uri 'sqlite:////tmp/a b.db'` writes them" in out


def test_status_of_a_running_study_says_why_mlflow_takes_nothing(driver, run_cli, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "studies", "digits-cnn")
    assert "MLflow" not in run_cli("status", "digits-cnn").out
    problem = {"tracking_uri": "http://me:***@server", "failing_since": time.time() - 90, "problem": "away"}
    folder.mirror_problem.write_text(json.dumps(problem))
    out = run_cli("status", "digits-cnn").out
    assert "MLflow at http://me:***@server has not accepted data since" in out
    assert "tune-cli sync" not in out  # the driver does it


@pytest.mark.parametrize("content", ["", "{", '{"failing_since": "x"}', "[]"])
def test_a_damaged_mirror_file_is_no_obstacle(study: StudyFolder, run_cli, content: str) -> None:
    study.mirror_problem.write_text(content)
    finished = run_cli("status", "digits-cnn")
    assert finished.code == 0
    assert "`tune-cli sync digits-cnn` writes them" in finished.out

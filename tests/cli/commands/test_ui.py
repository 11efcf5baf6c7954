import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from cli import main as command


def test_a_tracking_server_is_pointed_to(run_cli) -> None:
    finished = run_cli("ui", "--tracking-uri", "http://user:secret@example.org:5000")
    assert finished.code == 0
    assert "http://user:***@example.org:5000" in finished.out
    assert "secret" not in finished.out


def test_a_port_in_use_is_refused_before_mlflow_starts(run_cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        finished = run_cli("ui", "--port", str(port))
    assert finished.code == 2
    assert f"--port {port + 1}" in finished.err


@pytest.mark.parametrize(("returned", "code"), [(0, 0), (3, 1)])
def test_mlflow_serves_this_machine_only(
    returned: int, code: int, tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []
    environments: list[dict[str, str]] = []

    def run(command: list[str], check: bool, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        started.append(command)
        environments.append(env)
        return subprocess.CompletedProcess(command, returned)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["tune-cli", "ui", "--port", port])
    with pytest.raises(SystemExit) as exit_:
        command.main()
    assert exit_.value.code == code
    assert started[0][started[0].index("--host") + 1] == "127.0.0.1"
    assert environments[0]["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert f"http://127.0.0.1:{port}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_browser_is_answered_and_no_command_line_has_the_password(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "cli", "ui", "--port", str(port)]
    # SQLite passes over what it does not know: a database that needs no server and has a password in its address.
    address = f"sqlite:///file:{tmp_path / 'mlflow.db'}?password=hunter2&uri=true"
    environment = os.environ | {"MLFLOW_TRACKING_URI": address}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen: set[str] = set()
    try:
        deadline = time.monotonic() + 120
        while True:
            seen |= _command_lines(process.pid)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    assert b"MLflow" in page.read()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        seen |= _command_lines(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    assert any("uvicorn" in line for line in seen)
    assert not any("hunter2" in line for line in seen)
    assert "hunter2" not in output
    assert (tmp_path / "mlflow.db").exists()


def _command_lines(session: int) -> set[str]:
    """Of all processes of a session, as everybody on the machine can read them."""
    lines = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == session:
                lines.add(" ".join(process.cmdline()))
    return lines

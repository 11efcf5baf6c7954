"""Processes that try to use the private Ray of another, while it runs."""

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

_NOBODY = 65534

_DRIVER = """
import json, os, sys
from pathlib import Path
from search_spaces.schema import ResourcesConfig
from tuning.execution.cluster import connect
from tuning.storage.observer import Silent
with connect(None, ResourcesConfig(), Path(sys.argv[1]), Silent()):
    import ray
    ray.get(ray.remote(lambda: None).remote())  # a worker has been started
    address = ray.get_runtime_context().gcs_address
    print(json.dumps({"address": address, "token": os.environ["RAY_AUTH_TOKEN"]}), flush=True)
    sys.stdin.read()
print(json.dumps({name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}), flush=True)
"""

_RUN_A_TASK = """
import sys, traceback
import ray
address, target = sys.argv[1:]
def write():
    with open(target, "w") as file:
        file.write("in")
try:
    ray.init(address=address, log_to_driver=False)
    ray.get(ray.remote(num_cpus=0)(write).remote())
    print("ran")
except Exception:
    print(traceback.format_exc())
"""

# Ray's key-value store holds the pickled functions that its workers load and run.
_WRITE_AS_ANOTHER_USER = f"""
import os, sys
from ray._raylet import GcsClient  # before the change: the interpreter may be in a folder of root's
os.setgroups([])
os.setgid({_NOBODY})
os.setuid({_NOBODY})
try:
    client = GcsClient(address=sys.argv[1])
    print("wrote", client.internal_kv_put(b"intruder", b"code", True, None))
except Exception as error:
    print(error)
"""


@dataclass(frozen=True)
class Victim:
    process: "subprocess.Popen[str]"
    home: Path
    """Fresh."""
    temporary: Path
    """Fresh; its `TMPDIR`."""
    address: str
    token: str

    @property
    def session(self) -> Path:
        (session,) = self.temporary.glob("tune-ray-*")
        return session

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> dict[str, str]:
        """End it; what its environment says of Ray's token afterwards."""
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        found: dict[str, str] = json.loads(output)
        return found


@contextmanager
def start_victim(folder: Path, **environment: str) -> Iterator[Victim]:
    """A driver connected to its private Ray until it is ended."""
    home = folder / "home"
    home.mkdir()
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as temporary:
        os.chmod(temporary, 0o755)
        process = subprocess.Popen(
            [sys.executable, "-c", _DRIVER, str(folder)],
            env={**os.environ, "HOME": str(home), "TMPDIR": temporary, "TUNE_CPUS": "2", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            known = json.loads(process.stdout.readline())
            yield Victim(process, home, Path(temporary), known["address"], known["token"])
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    # What the user set for clusters of his own does not open this one.
    with start_victim(tmp_path_factory.mktemp("victim"), RAY_AUTH_MODE="disabled") as victim:
        yield victim


def attack(script: str, *arguments: str, **environment: str) -> str:
    """Let a process attack a private Ray; what it says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    # One attempt instead of twenty; and 127.0.0.1 is not to be replaced by this machine's own address.
    reaching = {"RAY_NUM_REDIS_GET_RETRIES": "1", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    command = [sys.executable, "-c", script, *arguments]
    environment = {**kept, **reaching, **environment}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=120).stdout


_WITHOUT = pytest.mark.parametrize(
    "environment",
    [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}],
    ids=["no token", "wrong token"],
)


def test_a_process_with_the_token_runs_a_task(victim: Victim, tmp_path: Path) -> None:
    # Without this, the next test would prove nothing.
    target = tmp_path / "in"
    said = attack(_RUN_A_TASK, victim.address, str(target), RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=victim.token)
    assert said == "ran\n"
    assert target.exists()


@_WITHOUT
def test_a_process_without_it_runs_none(victim: Victim, tmp_path: Path, environment: dict[str, str]) -> None:
    target = tmp_path / "in"
    assert "InvalidAuthToken" in attack(_RUN_A_TASK, victim.address, str(target), **environment)
    assert not target.exists()


@pytest.mark.root
def test_another_user_with_the_token_writes(victim: Victim) -> None:
    said = attack(_WRITE_AS_ANOTHER_USER, victim.address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=victim.token)
    assert said == "wrote 1\n"


@pytest.mark.root
@_WITHOUT
def test_another_user_without_it_writes_nothing(victim: Victim, environment: dict[str, str]) -> None:
    said = attack(_WRITE_AS_ANOTHER_USER, victim.address, **environment)
    assert "InvalidAuthToken" in said
    assert "wrote" not in said


def test_the_agent_that_prepares_environments_asks_for_the_token(victim: Victim) -> None:
    (port,) = victim.session.glob("r/session_latest/runtime_env_agent_port_*")
    url = f"http://127.0.0.1:{port.read_text()}/get_or_create_runtime_env"

    def status(**headers: str) -> int:
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
        refusal.value.close()
        return refusal.value.code

    assert status() == 401
    assert status(Authorization=f"Bearer {'0' * 64}") == 403
    assert status(Authorization=f"Bearer {victim.token}") == 405  # let in: it takes POST only


@pytest.mark.root
def test_another_user_cannot_enter_the_session_folder(victim: Victim) -> None:
    look = f"import os; os.setgid({_NOBODY}); os.setuid({_NOBODY}); os.listdir({str(victim.session)!r})"
    process = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert "PermissionError" in process.stderr


def test_only_its_owner_may_enter_the_session_folder(victim: Victim) -> None:
    assert victim.session.stat().st_mode & 0o777 == 0o700
    sockets = [path for path in victim.session.rglob("*") if path.is_socket()]
    assert {path.name for path in sockets} == {"raylet", "plasma_store"}


def test_every_port_is_on_the_loopback_interface(victim: Victim) -> None:
    processes = [psutil.Process(victim.process.pid), *victim.processes()]
    listening = [
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 5  # GCS, raylet twice, driver, worker
    assert set(listening) <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_the_token_is_in_no_command_line_and_no_file(victim: Victim) -> None:
    processes = victim.processes()
    assert len(processes) >= 5
    assert not [process for process in processes if victim.token in " ".join(process.cmdline())]
    files = [path for path in victim.session.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if victim.token.encode() in path.read_bytes()]


def test_environments_can_be_read_by_their_owner_alone(victim: Victim) -> None:
    for process in victim.processes():
        state = os.stat(f"/proc/{process.pid}/environ")
        assert (state.st_mode & 0o777, state.st_uid) == (0o400, os.geteuid())


def test_the_object_store_has_no_name(victim: Victim) -> None:
    # So nothing of it is left in /dev/shm when its process dies, however it dies.
    (raylet,) = [process for process in victim.processes() if process.name() == "raylet"]
    stores = re.findall(r"/\S*plasma\S*( \(deleted\))?$", Path(f"/proc/{raylet.pid}/maps").read_text(), re.MULTILINE)
    assert stores
    assert all(stores)


@pytest.mark.parametrize("former", [{}, {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token"}], ids=str)
def test_nothing_is_left_at_the_end(tmp_path: Path, former: dict[str, str]) -> None:
    with start_victim(tmp_path, **former) as victim:
        assert victim.end() == former
        assert not list(victim.home.iterdir())
        assert not list(victim.temporary.iterdir())


def test_what_a_killed_driver_leaves(tmp_path: Path) -> None:
    with start_victim(tmp_path) as victim:
        # Two helpers live on for a minute, with nobody left whose tasks they could start; they still ask for the token.
        agents = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
        started = victim.processes()
        session = victim.session
        others = [process for process in started if process.name() not in agents]
        victim.process.kill()
        _, alive = psutil.wait_procs(others, timeout=60)
        assert not alive
        script = "from tuning.execution.session_folder import session_folder\nwith session_folder(): pass"
        assert session.exists()
        subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "TMPDIR": str(victim.temporary)})
        assert not session.exists()
        for agent in psutil.wait_procs(started, timeout=0)[1]:
            agent.kill()

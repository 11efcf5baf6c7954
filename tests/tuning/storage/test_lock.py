import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainables.errors import InputError
from tuning.storage.lock import holds_lock, lock_owner, study_lock
from tuning.storage.paths import StudyFolder

_HOLDER = """
import sys, time
from pathlib import Path
from tuning.storage.paths import StudyFolder
from tuning.storage.lock import study_lock
with study_lock(StudyFolder(Path(sys.argv[1]), "s")):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path, "s")
    folder.path.mkdir()
    return folder


def test_a_second_driver_is_refused_by_name_and_a_dead_one_holds_nothing(folder: StudyFolder) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder.storage)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {other.pid} on"), study_lock(folder):
            pass
        living = lock_owner(folder)
        assert living is not None
        assert (living.pid, living.alive) == (other.pid, True)
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    dead = lock_owner(folder)
    assert dead is not None
    assert (dead.pid, dead.alive) == (other.pid, False)
    assert time.time() - dead.heartbeat < 60
    with study_lock(folder):
        pass


def test_no_driver_ever(folder: StudyFolder) -> None:
    assert lock_owner(folder) is None


@pytest.mark.parametrize(
    "content",
    [
        b'{"pid": 12, "host": "he',
        b"not JSON",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"pid": "twelve", "host": "here", "since": 1.0}',
        b'{"pid": 12, "host": ["here"], "since": 1.0}',
        b'{"pid": 12, "host": "here", "since": 1e300}',
        b'{"pid": 12, "host": "here", "since": NaN}',
        b'{"pid": 12, "host": "here"}',
        b'{"pid": 12, "host": "here", "since": 1.0, "more": 1}',
        b'{"pid": -1, "host": "here", "since": 1.0}',
        b'{"pid": 0, "host": "here", "since": 1.0}',
        b'{"pid": 1' + 10_000_000 * b"0" + b"}",
        10_000_000 * b"[",
    ],
)
def test_a_lock_file_that_is_not_understood(folder: StudyFolder, content: bytes) -> None:
    folder.lock.write_bytes(content)
    owner = lock_owner(folder)
    assert owner is not None
    assert (owner.pid, owner.host, owner.since, owner.alive) == (None, None, None, False)
    with study_lock(folder):  # it does not stand in the way of the next driver, who writes it anew
        assert (owner := lock_owner(folder)) is not None
        assert owner.pid == os.getpid()
        with pytest.raises(InputError, match=f"process {os.getpid()} on"), study_lock(folder):
            pass


def test_a_lock_that_names_a_process_which_does_not_hold_it(folder: StudyFolder) -> None:
    with study_lock(folder):
        assert holds_lock(folder, os.getpid())
        assert not holds_lock(folder, os.getppid())

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainables.errors import InputError
from tuning.storage.lock import lock_owner, study_lock
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

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainables.errors import InputError
from tuning.execution import session_folder as module
from tuning.execution.session_folder import session_folder

_HOLD = """
import sys
from tuning.execution.session_folder import session_folder
with session_folder() as folder:
    print(folder.parent, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder of this test's own, in which session folders are made."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


@contextlib.contextmanager
def driver() -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Another driver with its session folder."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


def test_only_its_owner_can_enter_and_nothing_is_left(parent: Path) -> None:
    with session_folder() as folder:
        assert folder.parent.parent == parent
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        folder.mkdir()
        (folder / "file").touch()
    assert not list(parent.iterdir())


def test_what_a_killed_driver_left_is_removed(parent: Path) -> None:
    with driver() as (process, left):
        assert left.parent == parent
        process.send_signal(signal.SIGKILL)
        process.wait()
        (left / "file").touch()
        with session_folder():
            assert not left.exists()


def test_folder_of_a_living_driver_is_left_alone(parent: Path) -> None:
    with driver() as (process, held):
        with session_folder():
            assert held.exists()
        assert held.exists()
        process.communicate()
    assert not list(parent.iterdir())


def test_links_are_not_followed(parent: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    (parent / "tune-ray-elsewhere").symlink_to(tmp_path)
    left = parent / "tune-ray-dead"
    left.mkdir()
    (left / "elsewhere").symlink_to(tmp_path)
    with session_folder():
        pass
    assert (tmp_path / "precious").exists()
    assert [each.name for each in parent.iterdir()] == ["tune-ray-elsewhere"]


@pytest.mark.root
def test_folder_of_another_user_is_left_alone(parent: Path) -> None:
    other = parent / "tune-ray-other"
    other.mkdir(mode=0o700)
    os.chown(other, 65534, 65534)
    with session_folder():
        pass
    assert other.exists()


def test_folder_taken_for_a_dead_drivers_before_it_was_locked(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def open_late(folder: Path) -> int:
        lock = really_open(folder)
        if not opened:
            folder.rmdir()  # another driver's cleaning comes in between
        opened.append(folder)
        return lock

    really_open = module._open
    monkeypatch.setattr(module, "_open", open_late)
    with session_folder() as folder:
        assert folder.parent.is_dir()
        assert folder.parent == opened[1]


def test_a_path_too_long_for_sockets_is_passed_over(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = parent / ("long" * 10)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    with session_folder() as folder:
        assert folder.parent.parent == parent


def test_a_folder_in_which_others_can_rename_is_passed_over(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_to_all = parent / "o"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("RAY_TMPDIR", str(open_to_all))
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    with session_folder() as folder:
        assert folder.parent.parent == parent


def test_no_folder_at_all(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with session_folder() as folder:
        name = folder.parent.name
    longest = 107 - len(f"/{name}/r/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store")
    monkeypatch.setattr(module, "_parents", list)
    message = re.escape(f"set RAY_TMPDIR to your own folder with a path of at most {longest} characters")
    with pytest.raises(InputError, match=message), session_folder():
        pass

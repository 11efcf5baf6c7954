"""A private folder for the files and sockets of a private Ray; what drivers that died left behind is removed."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainables.errors import InputError

_PREFIX = "tune-ray-"
_LONGEST_NAME = f"{_PREFIX}12345678/r/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
"""The longest path of a socket, which Ray makes, within a parent folder."""
_LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path on Linux."""


@contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder that only its owner can enter, for `ray.init(_temp_dir=...)`; removed at the end.

    It is in `$RAY_TMPDIR`, `$TMPDIR` or `/tmp`, the first that is short enough for Ray's sockets and writable. Its
    driver holds a lock on it for life. Folders of the same user that nobody holds are of drivers that died.

    Raises:
        InputError: none of the three can be used.
    """
    parents = _parents()
    for parent in parents:
        _remove_leftovers(parent)
    folder, lock = _create(parents)
    try:
        # Ray opens the folder it is given to everybody (0777), so it gets one inside.
        yield folder / "r"
    finally:
        _remove(folder)
        os.close(lock)


def _parents() -> list[Path]:
    wanted = (os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp")
    return [parent for parent in dict.fromkeys(Path(each).absolute() for each in wanted if each) if _is_safe(parent)]


def _is_safe(parent: Path) -> bool:
    """Whether sockets can be made there, and nobody else can rename what is in there."""
    if len(os.fsencode(parent / _LONGEST_NAME)) > _LONGEST_SOCKET or not os.access(parent, os.W_OK | os.X_OK):
        return False
    state = parent.stat()
    open_to_others = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not state.st_mode & stat.S_ISVTX
    return state.st_uid in (0, os.geteuid()) and not open_to_others


def _create(parents: list[Path]) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock."""
    errors = []
    for parent in parents:
        try:
            while True:
                folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
                lock = _open(folder)
                fcntl.flock(lock, fcntl.LOCK_EX)
                if folder.exists():
                    return folder, lock
                os.close(lock)  # another driver took it for a dead one's before it was locked
        except OSError as error:
            errors.append(str(error))
    raise InputError(
        f"no folder can be used for Ray's files ({'; '.join(errors) or 'none is short, writable and protected'}); set "
        f"RAY_TMPDIR to one of your own with a path of at most {_LONGEST_SOCKET - len(_LONGEST_NAME) - 1} characters"
    )


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _remove_leftovers(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        state = folder.lstat()
        if state.st_uid == os.geteuid() and stat.S_ISDIR(state.st_mode):
            _remove_if_dead(folder)


def _remove_if_dead(folder: Path) -> None:
    try:
        lock = _open(folder)
    except FileNotFoundError:
        return  # another driver was faster
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # its driver lives
    else:
        _remove(folder)
    finally:
        os.close(lock)


def _remove(folder: Path) -> None:
    # Two helpers of Ray live on for a minute after a driver that was killed; where one of them makes a file at this
    # moment, the next driver removes it.
    with suppress(OSError):
        shutil.rmtree(folder)

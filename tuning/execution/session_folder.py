"""A private folder for the files and sockets of a private Ray. Removes the folders of dead drivers."""

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
"""Longest socket path that Ray creates, relative to the parent folder."""
_LONGEST_SOCKET = 107
"""Maximum bytes in a Unix socket's path on Linux."""


@contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder that only its owner can enter, for `ray.init(_temp_dir=...)`; removed at the end.

    It is in the first of `$RAY_TMPDIR`, `$TMPDIR` and `/tmp` that is writable and short enough for Ray's sockets. The
    driver keeps it locked. Unlocked folders of the same user belong to dead drivers.

    Raises:
        InputError: none of the three can be used.
    """
    parents = _parents()
    for parent in parents:
        _remove_leftovers(parent)
    folder, lock = _create(parents)
    try:
        # Ray makes its folder accessible to everyone (0777), so it gets one inside.
        yield folder / "r"
    finally:
        _remove(folder)
        os.close(lock)


def _parents() -> list[Path]:
    wanted = (os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp")
    return [parent for parent in dict.fromkeys(Path(each).absolute() for each in wanted if each) if _is_safe(parent)]


def _is_safe(parent: Path) -> bool:
    """Whether sockets can be created there and nobody else can rename its content."""
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
                os.close(lock)  # another driver removed it as a leftover before it was locked
        except OSError as error:
            errors.append(str(error))
    raise InputError(
        f"no usable folder for Ray's files ({'; '.join(errors) or 'none is short, writable and protected'}); set "
        f"RAY_TMPDIR to your own folder with a path of at most {_LONGEST_SOCKET - len(_LONGEST_NAME) - 1} characters"
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
        return  # its driver is alive
    else:
        _remove(folder)
    finally:
        os.close(lock)


def _remove(folder: Path) -> None:
    # Two of Ray's helper processes outlive a killed driver by a minute. If one of them creates a file right now, the
    # next driver removes it.
    with suppress(OSError):
        shutil.rmtree(folder)

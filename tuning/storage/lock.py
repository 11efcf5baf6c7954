"""One driver a study: a lock that the operating system releases when its holder dies, however it dies."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trainables.errors import InputError
from tuning.storage.paths import StudyFolder
from tuning.storage.write_errors import writing


@dataclass(frozen=True)
class LockOwner:
    """The driver that wrote itself into the lock file last."""

    pid: int
    host: str
    since: float
    """Seconds since 1970."""
    heartbeat: float
    """When it last showed that it was alive; seconds since 1970."""
    alive: bool
    """Whether it still holds the lock."""


@contextmanager
def study_lock(folder: StudyFolder) -> Iterator[None]:
    """Hold the study's lock.

    Raises:
        InputError: another driver holds it.
    """
    with open(folder.lock, "ab", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(_taken(folder)) from error
        with writing(folder):
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}).encode())
        yield


def heartbeat(folder: StudyFolder) -> None:
    """Show that the driver is alive."""
    os.utime(folder.lock)


def lock_owner(folder: StudyFolder) -> LockOwner | None:
    """The driver that works on the study or did last; None if none ever did."""
    try:
        with open(folder.lock) as file:
            content = json.loads(file.read() or "null")
            if content is None:
                return None
            alive = _is_locked(file.fileno())
            return LockOwner(**content, heartbeat=os.fstat(file.fileno()).st_mtime, alive=alive)
    except FileNotFoundError:
        return None


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _taken(folder: StudyFolder) -> str:
    driver = lock_owner(folder)
    who = f"process {driver.pid} on {driver.host}" if driver else "another process"
    return (
        f"study {folder.name!r} is being worked on by {who}; wait for it, watch it with "
        f"`tune-cli status {folder.reference}`, or end it with `tune-cli stop {folder.reference}`"
    )

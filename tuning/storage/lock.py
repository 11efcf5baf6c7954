"""One driver a study: a lock that the operating system releases when its holder dies, however it dies."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from trainables.config.base import Config
from trainables.errors import InputError
from tuning.storage.own_files import open_to_append, open_to_read
from tuning.storage.paths import StudyFolder
from tuning.storage.write_errors import writing

_LARGEST_BYTES = 4096


class _Content(Config):
    """What a driver writes into the lock file."""

    pid: int = Field(gt=1)
    """Of 1 or less, `stop` would end far more than a driver."""
    host: str = Field(max_length=255)
    since: float = Field(ge=0, lt=2.0**33)
    """Seconds since 1970; less than the year 2243."""


@dataclass(frozen=True)
class LockOwner:
    """The driver that wrote itself into the lock file last."""

    pid: int | None
    """None, as are host and since, where the file is damaged or was not written by this program."""
    host: str | None
    since: float | None
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
    with open_to_append(folder.lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(_taken(folder)) from error
        with writing(folder):
            file.truncate(0)
            own = _Content(pid=os.getpid(), host=socket.gethostname(), since=time.time())
            file.write(own.model_dump_json().encode())
        yield


def heartbeat(folder: StudyFolder) -> None:
    """Show that the driver is alive."""
    os.utime(folder.lock)


def lock_owner(folder: StudyFolder) -> LockOwner | None:
    """The driver that works on the study or did last; None if none ever did."""
    try:
        file = open_to_read(folder.lock)
    except FileNotFoundError:
        return None
    with file:
        written = file.read(_LARGEST_BYTES)
        alive, beat = _is_locked(file.fileno()), os.fstat(file.fileno()).st_mtime
    if not written and not alive:
        return None
    try:
        content = _Content.model_validate_json(written)
    except ValidationError:
        return LockOwner(None, None, None, beat, alive)
    return LockOwner(content.pid, content.host, content.since, beat, alive)


def holds_lock(folder: StudyFolder, pid: int) -> bool:
    """Whether a process of this machine has the study's lock file open: the file may name any process.

    Also true where the system does not say: without `/proc`, or for another user's process.
    """
    lock, table = folder.lock.stat(), Path(f"/proc/{pid}/fd")
    if not os.access(table, os.R_OK | os.X_OK):
        return True
    for entry in table.iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile, or no file of any folder
            if os.path.samestat(entry.stat(), lock):
                return True
    return False


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _taken(folder: StudyFolder) -> str:
    driver = lock_owner(folder)
    who = f"process {driver.pid} on {driver.host}" if driver and driver.pid else "another process"
    return (
        f"study {folder.name!r} is being worked on by {who}; wait for it, watch it with "
        f"`{folder.command('status')}`, or end it with `{folder.command('stop')}`"
    )

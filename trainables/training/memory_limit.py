"""A hard limit on the memory one trial may add to its worker: allocations beyond it fail, but the process survives."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from trainables.errors import InputError

_Step = TypeVar("_Step")


def limit_memory(steps: Iterator[_Step], extra_bytes: int | None) -> Iterator[_Step]:
    """Run each step under a limit: `extra_bytes` above the process's current data size; None: no limit.

    Counts what Linux calls data (`VmData`): all private writable memory of the process that is not backed by a file.
    Does not count GPU memory.

    Raises:
        InputError: the system does not support such a limit.
    """
    if extra_bytes is None:
        yield from steps
        return
    ceiling = _data_bytes() + extra_bytes
    while True:
        with _ceiling(ceiling):
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


@contextmanager
def _ceiling(data_bytes: int) -> Iterator[None]:
    """Set the limit; it is lifted between steps, when the process does other work."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = data_bytes if hard == resource.RLIM_INFINITY else min(data_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        raise InputError("resources.memory_per_trial needs Linux; leave it out on this system")
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024

"""Signals that stop a study: SIGINT, SIGTERM and SIGHUP all mean `stop cleanly, to be resumed`."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Yield an event that the first such signal sets; a second one goes to the previous handlers.

    Only the main thread can install handlers; elsewhere the event is never set.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return

    def stop(number: int, frame: FrameType | None) -> None:
        requested.set()
        _install(previous)

    previous = {number: signal.getsignal(number) for number in _STOPPING}
    _install(dict.fromkeys(_STOPPING, stop))
    try:
        yield requested
    finally:
        _install(previous)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restore the handlers at the end of the block: `ray.init` sets a SIGTERM handler that aborts the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _STOPPING}
    try:
        yield
    finally:
        _install(before)


def _install(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)

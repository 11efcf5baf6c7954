"""Image files decoded by several processes at once.

Each process has a pipe of its own, the only other end of which is here. So when a process dies its pipe ends, be it in
the middle of a result, and no other process is touched. `ProcessPoolExecutor` and loky give all processes one pipe: a
process that is killed while it writes leaves half a result there, and the pool waits for the rest of it for ever.
"""

import multiprocessing
import os
import resource
import signal
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path
from queue import SimpleQueue

from trainables.data.decoding import DecodedFiles, ImageFormat, decode_files
from trainables.errors import DataError

_MEMORY_BYTES = 4 * 2**30
"""Of one decoding process."""

_FILES_AT_ONCE = 32
"""Files decoded by one task of a process: 5 MB of results at 224 pixels."""

_WORTH_PROCESSES = 256
"""Below this many files, starting processes (0.3 s each) costs more than it saves."""


def decode_in_processes(
    root: Path, names: Sequence[str], image_format: ImageFormat, processes: int | None = None
) -> Generator[DecodedFiles, None, None]:
    """Decode in order, some files at a time, with one process a core where there are enough files.

    Raises:
        DataError: a process died, most likely for want of memory.
    """
    chunks = [names[start : start + _FILES_AT_ONCE] for start in range(0, len(names), _FILES_AT_ONCE)]
    processes = processes or _useful_processes(len(names))
    if processes == 1:
        for chunk in chunks:
            yield decode_files(root, chunk, image_format)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads may hang
    threads = ThreadPoolExecutor(processes, "decoding")  # each waits for one process
    workers: list[_Worker] = []
    idle: SimpleQueue[_Worker] = SimpleQueue()
    pending: deque[Future[DecodedFiles]] = deque()
    try:
        for _ in range(processes):
            workers.append(_Worker(context, root, image_format))
            idle.put(workers[-1])
        for chunk in chunks:
            pending.append(threads.submit(_decode_with, idle, chunk))
            if len(pending) > 4 * processes:  # bounds what waits in memory
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for worker in workers:
            worker.kill()
        threads.shutdown(cancel_futures=True)


class _Worker:
    """A process that decodes files of one folder, and this end of its pipe."""

    def __init__(self, context: SpawnContext, root: Path, image_format: ImageFormat) -> None:
        self._root = root
        self._pipe, its_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(its_end, root, image_format), daemon=True)
        self._process.start()
        its_end.close()  # once the process has ended, nobody can write to the pipe

    def decode(self, names: Sequence[str]) -> DecodedFiles:
        """Have the files decoded and wait for them.

        Raises:
            DataError: the process has died.
        """
        try:
            self._pipe.send(names)
            decoded: DecodedFiles = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise DataError(
                f"a process that decoded images of {self._root} was killed, probably because memory ran out: free "
                f"some, or look for images of enormous size among the {len(names)} from {names[0]} to {names[-1]} "
                "(a script of your own must call this under `if __name__ == '__main__':`)"
            ) from error
        return decoded

    def kill(self) -> None:
        """End the process; whoever waits for it gets a `DataError`."""
        self._process.kill()
        self._process.join()


def _decode_with(idle: SimpleQueue[_Worker], names: Sequence[str]) -> DecodedFiles:
    worker = idle.get()
    try:
        return worker.decode(names)
    finally:
        idle.put(worker)  # a dead one, too: there is a thread for each, and none may wait for ever


def _useful_processes(files: int) -> int:
    if files < _WORTH_PROCESSES or multiprocessing.current_process().daemon:  # a daemon may not have children
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, -(-files // _FILES_AT_ONCE))


def _serve(pipe: "Connection[DecodedFiles, Sequence[str]]", root: Path, image_format: ImageFormat) -> None:
    """Decode what is asked for until the parent has ended. Ctrl-C is left to it; memory is kept to what is allowed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        while True:
            pipe.send(decode_files(root, pipe.recv(), image_format))
    except (EOFError, OSError):
        return  # there is no parent to decode for

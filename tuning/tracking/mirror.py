"""Follows the journal into MLflow. MLflow may be slow, down or new: the journal waits, the study does not."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from trainables.errors import TuneError
from tuning.storage.paths import StudyFolder
from tuning.tracking.mlflow_store import Store, TrackingError
from tuning.tracking.session import Session
from tuning.tracking.state import masked, read_state

_POLL_SECONDS = 1.0
_LOCK_SECONDS = 30.0
"""For another thread or process that writes the same study, as `tune-cli sync` beside a driver."""
_LONGEST_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Health:
    """How far MLflow is behind the journal."""

    events_waiting: int
    """In the journal and not yet in MLflow."""
    failing_since: float | None
    """Time of the first failure in a row, seconds since 1970; None while all is well."""
    problem: str
    """What the last failure said; empty while all is well."""
    left_out: tuple[str, ...] = ()
    """What MLflow refused for good, for example because a person deleted the run."""


class Mirror:
    """Brings MLflow up to one study's journal. At most one at a time for a study, whatever the process."""

    def __init__(self, folder: StudyFolder, tracking_uri: str) -> None:
        """Nothing is contacted yet."""
        self._folder = folder
        self._uri = tracking_uri
        self._lock = FileLock(folder.tracking.with_suffix(".lock"), thread_local=False)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._failing_since: float | None = None
        self._problem = ""
        self._failed_ever = False
        self._left_out: list[str] = []

    def start(self) -> None:
        """Follow the journal in a thread of its own until `close`."""
        self._thread = threading.Thread(target=self._follow, name="mlflow-mirror", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Make one last attempt and stop; True if MLflow holds all of the journal. Waits no longer than told."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return False
            self._thread = None
        health = self.health()
        return health.events_waiting == 0 and not health.problem

    def bring_up_to_date(self) -> None:
        """Write all that is in the journal to MLflow, now.

        Raises:
            TrackingError: MLflow did not take it all; what is missing waits in the journal.
        """
        try:
            with self._lock.acquire(timeout=_LOCK_SECONDS):
                self._catch_up()
        except Timeout as error:
            raise TrackingError("another process is writing this study to MLflow at this moment") from error

    def health(self) -> Health:
        """How things stand; reads two small files."""
        state = read_state(self._folder)
        offset = state.offset if state is not None and state.tracking_uri == masked(self._uri) else 0
        waiting = _count_lines(self._folder.journal, offset)
        return Health(waiting, self._failing_since, self._problem, tuple(self._left_out))

    def _catch_up(self) -> None:
        if not self._folder.journal.exists() or self._folder.journal.stat().st_size == 0:
            return
        session, self._session = self._session, None
        # Connect anew after a failure (nobody knows what MLflow carried out) and after another process has written.
        if session is None or not session.is_current():
            session = Session.connect(self._folder, Store(self._uri), self._uri)
        self._left_out += session.catch_up()
        self._session = session

    def _follow(self) -> None:
        wait, stopping = 0.0, False
        while not stopping:
            stopping = self._stop.wait(wait)
            if stopping and self._failed_ever:
                self._session = None  # a late answer to a failed request may have left a run twice: look once more
            wait = _POLL_SECONDS if self._attempt() else min(max(2 * wait, 1.0), _LONGEST_WAIT_SECONDS)

    def _attempt(self) -> bool:
        """Try to catch up; False, with the problem noted for `health`, if that failed."""
        try:
            self.bring_up_to_date()
        except Exception as error:  # whatever it is, it must neither end the study nor go unnoticed: see `health`
            self._problem = str(error) if isinstance(error, TuneError) else f"{type(error).__name__}: {error}"
            self._failing_since = self._failing_since or time.time()
            self._failed_ever = True
            return False
        self._problem, self._failing_since = "", None
        return True


def _count_lines(path: Path, start: int) -> int:
    """Complete lines from byte `start` on; 0 without a file."""
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        file.seek(start)
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))

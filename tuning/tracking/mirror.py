"""Copies the journal to MLflow as it grows. If MLflow is slow, down or empty, the study does not wait for it."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from filelock import FileLock, Timeout

from trainables.errors import TuneError
from tuning.storage.paths import StudyFolder
from tuning.tracking.mlflow_store import Store, TrackingError
from tuning.tracking.session import Session
from tuning.tracking.state import MirrorProblem, events_waiting, masked, read_state, write_problem

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_LOCK_SECONDS = 30.0
"""Wait for another thread or process that writes the same study, such as `tune-cli sync` during a run."""
_LONGEST_WAIT_SECONDS = 30.0
_PATIENCE_SECONDS = 30.0
"""MLflow may fail this long before the user is told, so that a server restart causes no warning."""
_LONGEST_PROBLEM = 2000
"""Characters."""


@dataclass(frozen=True)
class Health:
    """How far MLflow is behind the journal."""

    events_waiting: int
    """Events in the journal that are not yet in MLflow."""
    failing_since: float | None
    """Time of the first of the current failures, seconds since 1970; None while MLflow works."""
    problem: str
    """Message of the last failure; empty while MLflow works."""
    left_out: tuple[str, ...] = ()
    """What MLflow refused permanently, for example because the run was deleted."""


class Mirror:
    """Brings MLflow up to date with one study's journal. A lock allows one writer per study across processes."""

    def __init__(self, folder: StudyFolder, tracking_uri: str, warn: Callable[[str], None] | None = None) -> None:
        """Contacts nothing yet. `warn` tells the user when MLflow has failed for a while, and when it is back."""
        self.folder = folder
        self.tracking_uri = tracking_uri
        # A FileLock excludes other objects and processes, but not other threads that use the same object.
        self._turn = threading.Lock()
        self._lock = FileLock(folder.tracking.with_suffix(".lock"), thread_local=False)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._warn = warn
        self._failing_since: float | None = None
        self._is_told = False
        self._problem = ""
        self._failed_ever = False
        self._left_out: list[str] = []

    def start(self) -> None:
        """Follow the journal in a separate thread until `close`."""
        self._thread = threading.Thread(target=self._follow, name="mlflow-mirror", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Make one last attempt and stop; True if MLflow has the whole journal. Waits at most `timeout_s`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return False
            self._thread = None
        health = self.health()
        return health.events_waiting == 0 and not health.problem

    def bring_up_to_date(self) -> None:
        """Write the whole journal to MLflow now. May be called while the mirror runs.

        Raises:
            TrackingError: MLflow did not accept all of it; the rest stays in the journal.
        """
        if not self._turn.acquire(timeout=_LOCK_SECONDS):
            raise TrackingError("another thread is still writing this study to MLflow")
        try:
            with self._lock.acquire(timeout=_LOCK_SECONDS):
                self._catch_up()
                write_problem(self.folder, None)
        except Timeout as error:
            raise TrackingError("another process is writing this study to MLflow right now") from error
        finally:
            self._turn.release()

    def health(self) -> Health:
        """The current state; reads two small files."""
        state = read_state(self.folder)
        if state is not None and state.tracking_uri != masked(self.tracking_uri):
            state = None
        waiting = events_waiting(self.folder, state)
        return Health(waiting, self._failing_since, self._problem, tuple(self._left_out))

    def _catch_up(self) -> None:
        if not self.folder.journal.exists() or self.folder.journal.stat().st_size == 0:
            return
        session, self._session = self._session, None
        # Reconnect after a failure (MLflow may have executed the request) and after another process has written.
        if session is None or not session.is_current():
            session = Session.connect(self.folder, Store(self.tracking_uri), self.tracking_uri)
        left_out = session.catch_up()
        for refused in left_out:
            logger.warning("MLflow refused permanently: %s", refused)
        self._left_out += left_out
        self._session = session

    def _follow(self) -> None:
        wait, stopping = 0.0, False
        while not stopping:
            stopping = self._stop.wait(wait)
            if stopping and self._failed_ever:
                self._session = None  # a request that timed out may have created a duplicate run: look once more
            wait = _POLL_SECONDS if self._attempt() else min(max(2 * wait, 1.0), _LONGEST_WAIT_SECONDS)

    def _attempt(self) -> bool:
        """Try to catch up; on failure, note the problem for `health` and return False."""
        try:
            self.bring_up_to_date()
        except Exception as error:  # no error may end the study or go unnoticed: see `health`
            self._failed_ever = True
            if isinstance(error, TuneError):
                self._failed(str(error))
            else:
                logger.warning("unexpected error in the mirror", exc_info=error)
                self._failed(f"{type(error).__name__}: {error}")
            return False
        self._succeeded()
        return True

    def _failed(self, problem: str) -> None:
        now, uri = time.time(), masked(self.tracking_uri)
        since = self._failing_since = self._failing_since or now
        self._problem = problem
        logger.warning("MLflow at %s does not accept data, for %.0f s now: %s", uri, now - since, problem)
        try:
            content = MirrorProblem(tracking_uri=uri, failing_since=since, problem=problem[:_LONGEST_PROBLEM])
            write_problem(self.folder, content)
        except OSError as error:  # only `status` is affected; the mirror keeps trying
            logger.warning("%s cannot be written: %s", self.folder.mirror_problem, error)
        if now - since >= _PATIENCE_SECONDS and not self._is_told:
            self._is_told = True
            self._tell(
                f"MLflow at {uri} has not accepted data for {now - since:.0f} s ({problem}); the study continues, "
                "and the missing data is written when MLflow works again"
            )

    def _succeeded(self) -> None:
        if self._failing_since is None:
            return
        since, self._problem, self._failing_since = self._failing_since, "", None
        logger.info("MLflow at %s works again, after %.0f s", masked(self.tracking_uri), time.time() - since)
        if self._is_told:
            self._is_told = False
            self._tell(f"MLflow at {masked(self.tracking_uri)} works again, after {time.time() - since:.0f} s")

    def _tell(self, text: str) -> None:
        if self._warn is not None:
            self._warn(text)

"""What Ray Tune calls while it runs trials, besides the searcher: starts, early stopping, and the end of all trials."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tuning.execution.schedulers import Scheduler
from tuning.storage.journal import TrialStarted
from tuning.storage.lock import heartbeat
from tuning.storage.paths import StudyFolder
from tuning.storage.recorder import Recorder

_HEARTBEAT_SECONDS = 2.0


class TrialEvents(tune.Callback):
    """Writes down when a worker takes a trial up."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune."""
        self._recorder.record(TrialStarted(number=trial.config["number"]))


class EarlyStopping(FIFOScheduler):
    """Ray Tune's scheduler: asks the study's own after each epoch."""

    def __init__(self, scheduler: Scheduler, objective: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as Ray left it
        self._scheduler = scheduler
        self._objective = objective

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """No trial: none is ever paused, and Ray starts those that wait, in order, without being asked to.

        One named here would take the next free worker and call off the start of the worker that it waits for: seven
        seconds of processor time thrown away, and where trials are shorter than that the pool would never fill.
        """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide whether the trial goes on."""
        return str(TrialScheduler.STOP if self._stops(trial, result) else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """The trial is over; Ray passes its last epoch here and not to `on_trial_result`."""
        self._stops(trial, result)
        self._scheduler.end(trial.config["number"])

    def _stops(self, trial: Any, result: dict[str, Any]) -> bool:
        if self._objective not in result:  # the trial failed
            return False
        return self._scheduler.report(trial.config["number"], result["epoch"], result[self._objective])


class Stopper(tune.Stopper):
    """Ends all trials when there is a reason to or the user asks; keeps the heartbeat."""

    def __init__(
        self, find_reason: Callable[[], str | None], interrupt: threading.Event, recorder: Recorder, folder: StudyFolder
    ) -> None:
        """`find_reason` says why to stop, or None; `interrupt` stops without a reason, to be resumed."""
        self._find_reason = find_reason
        self._interrupt = interrupt
        self._recorder = recorder
        self._folder = folder
        self._last_heartbeat = 0.0
        self.reason = ""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray Tune pickles its stopper into snapshots of the experiment, which are never read back."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Asked by Ray Tune in every round of its loop."""
        now = time.monotonic()
        if now - self._last_heartbeat > _HEARTBEAT_SECONDS:
            heartbeat(self._folder)
            self._last_heartbeat = now
        self.reason = self.reason or self._find_reason() or ""
        return bool(self.reason) or self._recorder.failure is not None or self._interrupt.is_set()

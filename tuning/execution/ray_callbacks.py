"""Ray Tune callbacks other than the searcher: trial starts, early stopping, stopping all trials."""

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
    """Records when a worker starts a trial."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune."""
        self._recorder.record(TrialStarted(number=trial.config["number"]))


class EarlyStopping(FIFOScheduler):
    """Ray Tune's scheduler; asks the study's scheduler after each epoch."""

    def __init__(self, scheduler: Scheduler, objective: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as Ray left it
        self._scheduler = scheduler
        self._objective = objective

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """None: trials are never paused, and Ray starts the waiting ones in order by itself.

        A trial returned here would take the next free worker and cancel the worker that is starting for it. That wastes
        seven seconds of CPU time, and with trials shorter than that the pool would never fill.
        """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide whether the trial goes on."""
        return str(TrialScheduler.STOP if self._stops(trial, result) else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """The trial has ended. Ray passes its last epoch here, not to `on_trial_result`."""
        self._stops(trial, result)
        self._scheduler.end(trial.config["number"])

    def _stops(self, trial: Any, result: dict[str, Any]) -> bool:
        if self._objective not in result:  # the trial failed
            return False
        return self._scheduler.report(trial.config["number"], result["epoch"], result[self._objective])


class Stopper(tune.Stopper):
    """Stops all trials on a stop reason or the user's request, and writes the heartbeat."""

    def __init__(
        self, find_reason: Callable[[], str | None], interrupt: threading.Event, recorder: Recorder, folder: StudyFolder
    ) -> None:
        """`find_reason` returns the stop reason or None; `interrupt` stops without one, to be resumed later."""
        self._find_reason = find_reason
        self._interrupt = interrupt
        self._recorder = recorder
        self._folder = folder
        self._last_heartbeat = 0.0
        self.reason = ""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray Tune pickles its stopper into experiment snapshots, which are never read back."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """False: the scheduler stops single trials."""
        return False

    def stop_all(self) -> bool:
        """Called by Ray Tune on every iteration of its loop."""
        now = time.monotonic()
        if now - self._last_heartbeat > _HEARTBEAT_SECONDS:
            heartbeat(self._folder)
            self._last_heartbeat = now
        self.reason = self.reason or self._find_reason() or ""
        return bool(self.reason) or self._recorder.failure is not None or self._interrupt.is_set()

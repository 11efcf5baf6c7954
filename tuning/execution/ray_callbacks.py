"""What Ray Tune calls while it runs trials, besides the searcher: starts, ends, and whether to stop altogether."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback

from tuning.storage.journal import TrialStarted
from tuning.storage.lock import heartbeat
from tuning.storage.paths import StudyFolder
from tuning.storage.recorder import Pen

_HEARTBEAT_SECONDS = 2.0

REMEMBERED = 32
"""So many trials begin before Ray Tune forgets one that is over: it asks nothing more about it by then."""


class Forgetful:
    """Leaves nothing of itself in Ray Tune's snapshots of the experiment, which are never read back."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TrialEvents(Forgetful, TrialProgressCallback):
    """Writes down when a worker takes a trial up.

    In place of Ray Tune's own callback for progress, which keeps every trial and its last result and prints nothing.
    """

    def __init__(self, pen: Pen) -> None:
        super().__init__()
        self._pen = pen

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune."""
        self._pen.write(TrialStarted(number=trial.config["number"]))

    def log_result(self, trial: Any, result: dict[str, Any], error: bool = False) -> None:
        """Nothing: the terminal follows the journal."""

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Free what Ray Tune needs no more: six queues for each of the trial's metrics."""
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()


class Forgetting:
    """Has Ray Tune drop trials that are over, which it keeps whole until the end: some 15 KiB each.

    It has no hook for that, so this reaches into its controller.
    """

    def __init__(self) -> None:
        self._ended: set[Any] = set()
        """Trials that were over at the last sweep."""
        self._due = REMEMBERED

    def sweep(self, controller: Any) -> None:
        """Drop the trials that were over at the last sweep already; to be called between two rounds of Ray's loop."""
        trials = controller.get_trials()
        if len(trials) < self._due:
            return
        trials[:] = [trial for trial in trials if trial not in self._ended]
        for kept in (controller._stopped_trials, controller._failed_trials, controller._trials_to_cache):
            kept -= self._ended
        self._ended = {trial for trial in trials if trial.is_finished()}
        self._due = len(trials) + REMEMBERED


class Stopper(Forgetful, tune.Stopper):
    """Ends all trials when there is a reason to or a person asks; keeps the heartbeat."""

    def __init__(
        self, find_reason: Callable[[], str | None], interrupt: threading.Event, pen: Pen, folder: StudyFolder
    ) -> None:
        """`find_reason` says why to stop, or None; `interrupt` stops without a reason, to be resumed."""
        self._find_reason = find_reason
        self._interrupt = interrupt
        self._pen = pen
        self._folder = folder
        self._beaten = 0.0
        self.reason = ""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Asked by Ray Tune in every round of its loop."""
        now = time.monotonic()
        if now - self._beaten > _HEARTBEAT_SECONDS:
            heartbeat(self._folder)
            self._beaten = now
        self.reason = self.reason or self._find_reason() or ""
        return bool(self.reason) or self._pen.failure is not None or self._interrupt.is_set()

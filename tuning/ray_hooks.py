"""What Ray Tune calls while it runs trials, besides the searcher: starts, ends, and whether to stop altogether."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ray import tune

from tuning.journal import TrialStarted
from tuning.layout import StudyFolder
from tuning.lock import beat
from tuning.recorder import Pen

_HEARTBEAT_SECONDS = 2.0


class Forgetful:
    """Leaves nothing of itself in Ray Tune's snapshots of the experiment, which are never read back."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TrialEvents(Forgetful, tune.Callback):
    """Writes down when a worker takes a trial up, and frees what Ray Tune would keep of a trial that is over."""

    def __init__(self, pen: Pen) -> None:
        self._pen = pen

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune."""
        self._pen.write(TrialStarted(number=trial.config["number"]))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune, which keeps every trial with its configuration and six queues for each of its metrics."""
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()
        trial.config.pop("job", None)
        trial.evaluated_params.pop("job", None)


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
            beat(self._folder)
            self._beaten = now
        self.reason = self.reason or self._find_reason() or ""
        return bool(self.reason) or self._pen.failure is not None or self._interrupt.is_set()

"""Ray Tune runs the trials: the journal's adapter between the search and the workers."""

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from search_spaces.schema import StudyConfig
from trainables.trainable import Job, TrialTrainable
from tuning.journal import EpochEnded, TrialFinished, TrialStarted, TrialState
from tuning.layout import StudyFolder
from tuning.lock import beat
from tuning.record import TrialRecord
from tuning.retention import Retention
from tuning.schedulers import make_scheduler
from tuning.search import Search

MAX_WORKER_DEATHS = 3
"""A trial whose worker dies this often beyond the first time is given up as failed."""

_HEARTBEAT_SECONDS = 2.0


@dataclass(frozen=True)
class Ended:
    """Why the trials came to an end."""

    interrupted: bool
    reason: str


@dataclass(frozen=True)
class Assignment:
    """What one call of `run_trials` works on."""

    study: StudyConfig
    folder: StudyFolder
    search: Search
    past: Sequence[TrialRecord]
    """Every trial so far; the unfinished ones go on before anything new is proposed."""
    record: Callable[..., None]
    """Writes events to the journal and tells whoever watches."""
    deadline: float | None
    """`time.monotonic()` at which the time budget is spent."""
    concurrent: int
    interrupt: threading.Event
    """Set by a signal: stop, leaving running trials to be continued later."""


def run_trials(assignment: Assignment) -> Ended:
    """Run trials until the search is exhausted, a budget is spent, or the interrupt is set."""
    scratch = assignment.folder.path / "ray"
    shutil.rmtree(scratch, ignore_errors=True)  # what a driver that was killed left behind
    adapter = _Adapter(assignment)
    stopper = _Stopper(assignment)
    resources = assignment.study.resources
    # `tune.run`, not `Tuner`: the latter pickles everything it is given, for a restore that is never used here.
    tune.run(
        TrialTrainable,
        name=scratch.name,
        storage_path=str(scratch.parent.resolve()),
        trial_dirname_creator=lambda trial: str(trial.trial_id),
        resources_per_trial={"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
        search_alg=adapter,
        scheduler=make_scheduler(assignment.study, assignment.past),
        num_samples=-1,
        max_concurrent_trials=assignment.concurrent,
        reuse_actors=True,
        stop=stopper,
        max_failures=MAX_WORKER_DEATHS,
        raise_on_failed_trial=False,
        callbacks=[_Starts(assignment)],
        verbose=0,
    )
    shutil.rmtree(scratch)
    if assignment.interrupt.is_set():
        return Ended(interrupted=True, reason="interrupted")
    adapter.stop_running(stopper.reason)
    return Ended(interrupted=False, reason=stopper.reason or assignment.search.ended_because or "every trial is done")


class _Forgetful:
    """Leaves nothing of itself in Ray Tune's snapshots of the experiment, which are never read back."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Adapter(_Forgetful, Searcher):
    """Ray Tune's searcher: hands out trials by number and writes down what comes back."""

    def __init__(self, assignment: Assignment) -> None:
        super().__init__(metric=assignment.study.search.objective, mode=assignment.study.search.mode)
        self._at = assignment
        unfinished = [trial for trial in assignment.past if not trial.is_finished]
        self._waiting = deque(unfinished)
        self._numbers: dict[str, int] = {}
        self._epochs = {trial.number: len(trial.epochs) for trial in unfinished}
        self._seconds = {trial.number: _training_seconds(trial) for trial in unfinished}
        self._retention = Retention(assignment.study, assignment.folder, assignment.past)

    def suggest(self, trial_id: str) -> Any:
        """The next trial as Ray's configuration; `FINISHED` when there is none."""
        if self._waiting:
            trial = self._waiting.popleft()
            number, config = trial.number, trial.config.model_dump(mode="json")
        else:
            proposal = self._at.search.ask()
            self._at.record(*proposal.events)
            if proposal.trial is None:
                return Searcher.FINISHED
            number, config = proposal.trial.number, proposal.trial.config
        self._numbers[trial_id] = number
        search = self._at.study.search
        job = Job(
            number=number,
            config=config,
            folder=str(self._at.folder.trial_checkpoints(number).resolve()),
            metric=search.objective,
            cpus=self._at.study.resources.cpus_per_trial,
        )
        return {"number": number, "job": job.to_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Write one epoch down; epochs already known come again after a fault and are passed over."""
        number = self._numbers[trial_id]
        epoch = result["epoch"]
        if result["outcome"] or epoch <= self._epochs.get(number, 0):
            return
        metrics = {name: result[name] for name in _METRICS}
        self._at.record(EpochEnded(number=number, epoch=epoch, metrics=metrics))
        self._epochs[number] = epoch
        self._seconds[number] = self._seconds.get(number, 0.0) + metrics["epoch_seconds"]
        self._at.search.observe(number, epoch, metrics)
        self._retention.observe(number, metrics)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Write the end of a trial down. Its last result comes here alone, not to `on_trial_result`."""
        number = self._numbers[trial_id]
        if error or result is None:
            self._finish(number, "failed", f"its worker died {MAX_WORKER_DEATHS + 1} times (killed, or out of memory)")
        elif result["outcome"]:
            self._finish(number, result["outcome"], result["reason"])
        else:
            self.on_trial_result(trial_id, result)
            if result["completed"]:
                self._finish(number, "completed", "")
            else:
                scheduler = self._at.study.search.scheduler.name
                self._finish(number, "stopped", f"{scheduler} at epoch {self._epochs[number]}")
        del self._numbers[trial_id]

    def stop_running(self, reason: str) -> None:
        """Write down the trials that a spent budget stopped; those without an epoch are left for a later resume."""
        for number in list(self._numbers.values()):
            if self._epochs.get(number, 0) > 0:
                self._finish(number, "stopped", reason)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the journal is the searcher's memory."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the searcher's memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the searcher's memory."""

    def _finish(self, number: int, state: TrialState, reason: str) -> None:
        duration = self._seconds.pop(number, 0.0)
        self._at.record(TrialFinished(number=number, state=state, reason=reason, duration_s=duration))
        self._at.search.finish(number, state)
        self._retention.finish(number, state)


_METRICS = ("train_loss", "val_loss", "val_accuracy", "learning_rate", "epoch_seconds")


class _Starts(_Forgetful, tune.Callback):
    """Writes down when a worker takes a trial up."""

    def __init__(self, assignment: Assignment) -> None:
        self._at = assignment

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune."""
        self._at.record(TrialStarted(number=trial.config["number"]))


class _Stopper(_Forgetful, tune.Stopper):
    """Ends all trials when a budget is spent or a person asks; keeps the heartbeat."""

    def __init__(self, assignment: Assignment) -> None:
        self._at = assignment
        self._beaten = 0.0
        self.reason = ""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Asked by Ray Tune in every round of its loop."""
        now = time.monotonic()
        if now - self._beaten > _HEARTBEAT_SECONDS:
            beat(self._at.folder)
            self._beaten = now
        if self._at.deadline is not None and now >= self._at.deadline:
            self.reason = "the time budget is spent"
        self.reason = self.reason or self._at.search.must_stop or ""
        return bool(self.reason) or self._at.interrupt.is_set()


def _training_seconds(trial: TrialRecord) -> float:
    return sum(epoch["epoch_seconds"] for epoch in trial.epochs)

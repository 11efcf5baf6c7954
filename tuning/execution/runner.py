"""Runs a study's trials with Ray Tune, using only its documented extension points."""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ray import tune
from ray.tune import TuneError

from search_spaces.schema import StudyConfig
from trainables.data.training_data import TrainingData
from trainables.safe_files import remove_tree
from trainables.trainable import TrialTrainable
from tuning.execution.checkpoint_retention import Retention
from tuning.execution.ray_callbacks import EarlyStopping, Stopper, TrialEvents
from tuning.execution.schedulers import Scheduler
from tuning.execution.trial_handout import Assignment, TrialHandout
from tuning.search.proposer import Proposer
from tuning.storage.paths import StudyFolder
from tuning.storage.record import TrialRecord
from tuning.storage.recorder import Recorder


@dataclass(frozen=True)
class RunOutcome:
    """Why the trials ended."""

    interrupted: bool
    reason: str


@dataclass(frozen=True)
class Workers:
    """Runs one study's trials on Ray's workers."""

    study: StudyConfig
    folder: StudyFolder
    data: TrainingData
    """What every trial must train on."""
    recorder: Recorder
    interrupt: threading.Event
    """Set by a signal: stop, and leave running trials to be resumed later."""
    concurrent: int
    """Trials at once."""
    warn: Callable[[str], None]
    """Tells the user."""
    trainable: type[tune.Trainable] = TrialTrainable
    """What runs a `Job` on a worker."""
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    """Identifies the study: workers and results of another one are rejected."""

    def run(
        self,
        proposer: Proposer,
        scheduler: Scheduler,
        past: Sequence[TrialRecord],
        *,
        keep_checkpoints: int,
        deadline: float | None,
    ) -> RunOutcome:
        """Run trials until the proposer has no more, a budget runs out, or the interrupt is set.

        Args:
            proposer: what to train next.
            scheduler: what to stop early; has seen `past`.
            past: the proposer's trials so far; unfinished ones are resumed before anything new is proposed.
            keep_checkpoints: how many of the best finished trials keep their checkpoints.
            deadline: `time.monotonic()` at which the time budget runs out.

        Raises:
            RecordError: the study's files cannot be written.
            StudyFailedError: no worker has the driver's code and versions.
        """
        assignment = Assignment(self.study, self.folder, self.data, self.concurrent, self.token, self.warn)
        retention = Retention(self.study, self.folder, past, keep_checkpoints)
        handout = TrialHandout(assignment, self.recorder, proposer, past, retention)
        find_reason = _reason_to_stop(proposer, handout, deadline)
        stopper = Stopper(find_reason, self.interrupt, self.recorder, self.folder)
        storage = self.folder.storage.resolve()
        scratch = storage / self.folder.name / "ray"
        with contextlib.suppress(OSError):  # left by a killed driver whose workers may still write there
            remove_tree(scratch, storage, missing_ok=True)
        try:
            self._run(handout, EarlyStopping(scheduler, self.study.search.objective), stopper, scratch)
        except TuneError:
            if self.recorder.failure is None:
                raise
        self.recorder.raise_failure()
        remove_tree(scratch, storage)
        if self.interrupt.is_set():
            return RunOutcome(interrupted=True, reason="interrupted")
        handout.stop_running(stopper.reason)
        return RunOutcome(interrupted=False, reason=stopper.reason or proposer.finish_reason or "every trial is done")

    def _run(self, handout: TrialHandout, scheduler: EarlyStopping, stopper: Stopper, scratch: Path) -> None:
        resources = self.study.resources
        # By default one trial waits at a time, so workers would start one after another. With trials shorter than a
        # start, a freed worker takes the waiting trial and the start is canceled, so the pool never fills.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self.concurrent)
        # `tune.run`, not `Tuner`: `Tuner` pickles all its arguments for a restore that is never used here.
        tune.run(
            self.trainable,
            name=scratch.name,
            storage_path=str(scratch.parent),
            trial_dirname_creator=lambda trial: str(trial.trial_id),
            resources_per_trial={"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
            search_alg=handout,
            scheduler=scheduler,
            num_samples=-1,
            max_concurrent_trials=self.concurrent,
            reuse_actors=True,
            stop=stopper,
            max_failures=0,  # `TrialHandout` retries a trial whose worker died
            raise_on_failed_trial=False,
            callbacks=[TrialEvents(self.recorder)],
            verbose=0,
        )


def _reason_to_stop(proposer: Proposer, handout: TrialHandout, deadline: float | None) -> Callable[[], str | None]:
    """Returns the reason to stop all trials at once: a spent budget, or only failures."""

    def reason() -> str | None:
        if deadline is not None and time.monotonic() >= deadline:
            return "the time budget is spent"
        return proposer.stop_reason or handout.hopeless or handout.finish_reason

    return reason

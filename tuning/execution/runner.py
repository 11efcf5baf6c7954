"""Ray Tune runs the trials: the journal's adapter between the search and the workers."""

import contextlib
import os
import secrets
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import TuneError
from ray.tune.search import Searcher

from search_spaces.schema import StudyConfig
from trainables.data.training_data import TrainingData
from trainables.errors import RecordError, StudyFailedError
from trainables.safe_files import remove_tree
from trainables.software import WorkerReport, own_software
from trainables.trainable import Job, TrialTrainable
from trainables.training.checkpoint_check import METRICS
from tuning.execution.checkpoint_retention import Retention
from tuning.execution.ray_callbacks import EarlyStopping, Stopper, TrialEvents
from tuning.execution.schedulers import Scheduler
from tuning.search.proposer import Proposer
from tuning.storage.journal import EpochEnded, TrialFinished, TrialState
from tuning.storage.paths import StudyFolder
from tuning.storage.record import TrialRecord
from tuning.storage.recorder import Pen
from tuning.storage.write_errors import unwritable

MAX_WORKER_DEATHS = 3
"""A trial whose worker dies this often beyond the first time is given up as failed."""

HOPELESS_FAILURES = 5
"""A study whose first trials, this many, all fail for the same reason is ended: the rest would only burn budget."""


@dataclass(frozen=True)
class RunOutcome:
    """Why the trials came to an end."""

    interrupted: bool
    reason: str


@dataclass(frozen=True)
class Workers:
    """Ray's workers at the service of one study."""

    study: StudyConfig
    folder: StudyFolder
    data: TrainingData
    """What every trial must train on."""
    record: Callable[..., None]
    """Writes events to the journal and tells whoever watches."""
    interrupt: threading.Event
    """Set by a signal: stop, leaving running trials to be continued later."""
    concurrent: int
    """Trials at once."""
    warn: Callable[[str], None] = warnings.warn
    """Tells the user."""
    trainable: type[tune.Trainable] = TrialTrainable
    """What runs a `Job` on a worker."""
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    """Of the study: workers and results of another one are refused."""

    def run(
        self,
        proposer: Proposer,
        scheduler: Scheduler,
        past: Sequence[TrialRecord],
        *,
        keep_checkpoints: int,
        deadline: float | None,
    ) -> RunOutcome:
        """Run trials until the proposer has no more, a budget is spent, or the interrupt is set.

        Args:
            proposer: what to train next.
            scheduler: what to stop early; knows the past.
            past: the proposer's trials so far; the unfinished ones go on before anything new is proposed.
            keep_checkpoints: of this many best finished trials.
            deadline: `time.monotonic()` at which the time budget is spent.

        Raises:
            RecordError: the study's files cannot be written.
            StudyFailedError: no worker has the driver's code and versions.
        """
        pen = Pen(self.record)
        adapter = _Adapter(self, pen, proposer, past, Retention(self.study, self.folder, past, keep_checkpoints))
        stopper = Stopper(self._reason_to_stop(proposer, adapter, deadline), self.interrupt, pen, self.folder)
        storage = self.folder.storage.resolve()
        scratch = storage / self.folder.name / "ray"
        with contextlib.suppress(OSError):  # left by a driver that was killed, whose workers may still write there
            remove_tree(scratch, storage, missing_ok=True)
        try:
            self._run(adapter, scheduler, stopper, pen, scratch)
        except TuneError:
            if pen.failure is None:
                raise
        if pen.failure is not None:
            raise pen.failure
        remove_tree(scratch, storage)
        if self.interrupt.is_set():
            return RunOutcome(interrupted=True, reason="interrupted")
        adapter.stop_running(stopper.reason)
        return RunOutcome(interrupted=False, reason=stopper.reason or proposer.finish_reason or "every trial is done")

    def _reason_to_stop(
        self, proposer: Proposer, adapter: "_Adapter", deadline: float | None
    ) -> Callable[[], str | None]:
        """What ends all trials at once: a spent budget, or no hope."""

        def reason() -> str | None:
            if deadline is not None and time.monotonic() >= deadline:
                return "the time budget is spent"
            return proposer.stop_reason or adapter.hopeless or adapter.finish_reason

        return reason

    def _run(self, adapter: "_Adapter", scheduler: Scheduler, stopper: Stopper, pen: Pen, scratch: Path) -> None:
        resources = self.study.resources
        # By default one trial waits at a time: workers would start one after another, and where trials are shorter than
        # a start, a freed worker takes the waiting trial and the start is broken off, so the pool never fills.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self.concurrent)
        # `tune.run`, not `Tuner`: the latter pickles everything it is given, for a restore that is never used here.
        tune.run(
            self.trainable,
            name=scratch.name,
            storage_path=str(scratch.parent),
            trial_dirname_creator=lambda trial: str(trial.trial_id),
            resources_per_trial={"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
            search_alg=adapter,
            scheduler=EarlyStopping(scheduler, self.study.search.objective),
            num_samples=-1,
            max_concurrent_trials=self.concurrent,
            reuse_actors=True,
            stop=stopper,
            max_failures=0,  # `_Adapter` hands a trial out again whose worker died
            raise_on_failed_trial=False,
            callbacks=[TrialEvents(pen)],
            verbose=0,
        )


class _Adapter(Searcher):
    """Ray Tune's searcher: hands out trials by number and writes down what comes back."""

    def __init__(
        self,
        workers: Workers,
        pen: Pen,
        proposer: Proposer,
        past: Sequence[TrialRecord],
        retention: Retention,
    ) -> None:
        search = workers.study.search
        super().__init__(metric=search.objective, mode=search.mode)
        self._workers = workers
        self._pen = pen
        self._proposer = proposer
        unfinished = [trial for trial in past if not trial.is_finished]
        self._waiting = deque((trial.number, trial.config.model_dump(mode="json")) for trial in unfinished)
        self._deaths: Counter[int] = Counter()
        self._numbers: dict[str, int] = {}
        self._configs: dict[int, dict[str, Any]] = {}
        """Of running trials."""
        self._epochs = {trial.number: len(trial.epochs) for trial in unfinished}
        self._seconds = {trial.number: _training_seconds(trial) for trial in unfinished}
        self._unsaved: set[int] = set()
        """Running trials whose best weights are not on disk."""
        self._retention = retention
        self._failures: Counter[str] = Counter(trial.reason for trial in past if trial.state == "failed")
        self._succeeded = any(trial.state in ("completed", "stopped") for trial in past)
        self._refusals: dict[str, str] = {}
        """Host and reason of each worker that refused its job, by Ray's trial, which it holds until the end."""
        self._reports: dict[int, str] = {}
        """What the journal says of each running trial's worker."""
        self._is_exhausted = False

    @property
    def finish_reason(self) -> str | None:
        """Set when every trial is done and only workers are left that refused theirs, which Ray would wait for."""
        if not self._is_exhausted or not self._refusals or self._numbers:
            return None
        return self._proposer.finish_reason or "every trial is done"

    @property
    def hopeless(self) -> str | None:
        """Why going on is useless, in words: every trial so far failed, and all of them alike."""
        if self._succeeded or len(self._failures) != 1:
            return None
        ((reason, count),) = self._failures.items()
        return f"the first {count} trials all failed alike: {reason}" if count >= HOPELESS_FAILURES else None

    def suggest(self, trial_id: str) -> Any:
        """The next trial as Ray's configuration; `FINISHED` when there is none."""
        if self._waiting:
            number, config = self._waiting.popleft()
        else:
            proposal = self._proposer.ask()
            if proposal.events:
                self._pen.write(*proposal.events)
            if proposal.trial is None:
                # A trial that runs may yet turn out infeasible and leave its place to another, or lose its worker.
                self._is_exhausted = not self._numbers
                return None if self._numbers else Searcher.FINISHED
            number, config = proposal.trial.number, proposal.trial.config
        self._numbers[trial_id] = number
        self._configs[number] = config
        search = self._workers.study.search
        job = Job(
            number=number,
            config=config,
            folder=str(self._workers.folder.trial_checkpoints(number).resolve()),
            metric=search.objective,
            cpus=self._workers.study.resources.cpus_per_trial,
            memory=self._workers.study.resources.memory_per_trial,
            images=len(self._workers.data.names),
            data_fingerprint=self._workers.data.fingerprint,
            cache_entry=self._workers.data.cache_entry,
            study=self._workers.token,
            software=asdict(own_software()),
        )
        return {"number": number, "job": job.to_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Write one epoch down; epochs already known come again after a fault and are passed over."""
        if trial_id in self._refusals:
            return
        number, epoch = self._numbers[trial_id], result["epoch"]
        if result["outcome"] == "refused":
            self._worker_refused(trial_id, result)
        if result["outcome"]:
            return
        self._require_fitness(number, result)
        (self._unsaved.discard if result["weights_saved"] else self._unsaved.add)(number)
        if epoch <= self._epochs.get(number, 0):
            return
        metrics = {name: result[name] for name in METRICS}
        worker = self._worker(number, result)
        self._pen.write(EpochEnded(number=number, epoch=epoch, metrics=metrics, warning=result["warning"], **worker))
        self._epochs[number] = epoch
        self._seconds[number] = self._seconds.get(number, 0.0) + metrics["epoch_seconds"]
        self._proposer.observe(number, epoch, metrics)
        self._retention.observe(number, metrics)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Write the end of a trial down. Its last result comes here alone, not to `on_trial_result`."""
        if self._refusals.pop(trial_id, None) is not None:  # its worker died, or all trials end
            return
        number = self._numbers[trial_id]
        if error or result is None:
            self._worker_died(number)
        elif result["outcome"]:
            self._require_fitness(number, result)
            self._finish(number, result["outcome"], result["reason"], **self._worker(number, result))
        else:
            self.on_trial_result(trial_id, result)
            if number in self._unsaved:  # without weights it is worth nothing, and the others would end no better
                self._pen.give_up(RecordError(unwritable(self._workers.folder, result["warning"])))
            if result["completed"]:
                self._finish(number, "completed", "")
            else:
                scheduler = self._workers.study.search.scheduler.name
                self._finish(number, "stopped", f"{scheduler} at epoch {self._epochs[number]}")
        del self._numbers[trial_id]

    def _worker_refused(self, trial_id: str, result: dict[str, Any]) -> None:
        """Hand the trial out again. The worker holds its place until the end, so that others get it."""
        number = self._numbers.pop(trial_id)
        host = WorkerReport.from_json(result["worker"]).host
        self._refusals[trial_id] = f"{host}: {result['reason']}"
        self._waiting.appendleft((number, self._configs[number]))
        self._workers.warn(f"a worker on {host} trains nothing for this study: {result['reason']}")
        if len(self._refusals) >= self._workers.concurrent:
            self._pen.give_up(StudyFailedError(unfit_workers(self._workers.folder, self._refusals.values())))

    def _require_fitness(self, number: int, result: dict[str, Any]) -> None:
        """A worker that is unfit and trains all the same is not the program's own: nothing that it says is believed."""
        problem = _unfitness(result.get("worker"), self._workers.token)
        if problem:
            remove_tree(self._workers.folder.trial_checkpoints(number), self._workers.folder.path, missing_ok=True)
            self._pen.give_up(StudyFailedError(unfit_workers(self._workers.folder, [problem])))

    def _worker(self, number: int, result: dict[str, Any]) -> dict[str, Any]:
        """Fields of an event that say who trained, where the journal does not say so yet."""
        text = result["worker"]
        if self._reports.get(number) == text:
            return {}
        self._reports[number] = text
        report = WorkerReport.from_json(text)
        return {"host": report.host, "versions": report.software.versions}

    def _worker_died(self, number: int) -> None:
        """Hand the trial out again, to go on from its checkpoint.

        Not left to Ray Tune, which gives a trial up at once whose worker dies between the former trial and this one.
        """
        self._deaths[number] += 1
        if self._deaths[number] > MAX_WORKER_DEATHS:
            self._finish(number, "failed", f"its worker died {MAX_WORKER_DEATHS + 1} times (killed, or out of memory)")
        else:
            self._waiting.appendleft((number, self._configs[number]))

    def stop_running(self, reason: str) -> None:
        """Write down the trials that a spent budget stopped; those without an epoch are left for a later resume."""
        for number in list(self._numbers.values()):
            if self._epochs.get(number, 0) > 0 and number not in self._unsaved:
                self._finish(number, "stopped", reason)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the journal is the searcher's memory."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the searcher's memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the searcher's memory."""

    def _finish(self, number: int, state: TrialState, reason: str, **worker: Any) -> None:
        duration = self._seconds.pop(number, 0.0)
        self._configs.pop(number, None)
        self._reports.pop(number, None)
        self._pen.write(TrialFinished(number=number, state=state, reason=reason, duration_s=duration, **worker))
        self._proposer.finish(number, state)
        self._retention.finish(number, state)
        if state == "failed":
            self._failures[reason] += 1
        self._succeeded = self._succeeded or state in ("completed", "stopped")


def _unfitness(report: str | None, token: str) -> str:
    """Why a result cannot be this study's; empty if it can."""
    if report is None:
        return "a worker that does not say what it runs: its code is older than the driver's"
    worker = WorkerReport.from_json(report)
    if worker.study != token:
        return f"{worker.host}: a result of study {worker.study[:8]}, not {token[:8]}"
    differences = own_software().differences(worker.software)
    return differences and f"{worker.host}: {differences}"


def unfit_workers(folder: StudyFolder, problems: Iterable[str]) -> str:
    """What to do where no worker may train."""
    return (
        f"no worker has the code and versions of the driver ({'; '.join(sorted(set(problems)))}). Install the same "
        f"version of this program and of its libraries on every node, start the workers there again, then run "
        f"`tune-cli resume {folder.reference}`"
    )


def _training_seconds(trial: TrialRecord) -> float:
    return sum(epoch["epoch_seconds"] for epoch in trial.epochs)

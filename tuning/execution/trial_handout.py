"""Ray Tune's searcher: hands out trials by number and records their results."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ray.tune.search import Searcher

from search_spaces.schema import StudyConfig
from trainables.data.training_data import TrainingData
from trainables.errors import RecordError, StudyFailedError
from trainables.safe_files import remove_tree
from trainables.software import WorkerReport, own_software
from trainables.trainable import Job
from trainables.training.checkpoint_check import METRICS
from tuning.execution.checkpoint_retention import Retention
from tuning.search.proposer import Proposer
from tuning.storage.journal import EpochEnded, TrialFinished, TrialState
from tuning.storage.paths import StudyFolder
from tuning.storage.record import TrialRecord
from tuning.storage.recorder import Recorder
from tuning.storage.write_errors import unwritable

logger = logging.getLogger(__name__)

MAX_WORKER_DEATHS = 3
"""Worker deaths after which a trial is retried; one more and it fails."""

HOPELESS_FAILURES = 5
"""The study ends if this many first trials all fail for the same reason: the rest would waste the budget."""


@dataclass(frozen=True)
class Assignment:
    """What every job of a study has in common."""

    study: StudyConfig
    folder: StudyFolder
    data: TrainingData
    """What every trial must train on."""
    concurrent: int
    """Trials at once."""
    token: str
    """Identifies the study: workers and results of another one are rejected."""
    warn: Callable[[str], None]
    """Tells the user."""


@dataclass
class _Trial:
    """A trial that is waiting for a worker or running on one."""

    number: int
    config: dict[str, Any]
    """The whole `TrialConfig`, JSON-able."""
    epochs: int = 0
    """Epochs in the journal."""
    seconds: float = 0.0
    """Training time of those epochs."""
    deaths: int = 0
    """How often its worker died."""
    is_saved: bool = True
    """Whether its best weights are on disk."""
    worker: str = ""
    """The worker report recorded last in the journal."""


class TrialHandout(Searcher):
    """Maps Ray Tune's trial ids, new for every handout, to the study's trial numbers."""

    def __init__(
        self,
        assignment: Assignment,
        recorder: Recorder,
        proposer: Proposer,
        past: Sequence[TrialRecord],
        retention: Retention,
    ) -> None:
        """Resume the unfinished trials of `past` before anything new is proposed."""
        search = assignment.study.search
        super().__init__(metric=search.objective, mode=search.mode)
        self._assignment = assignment
        self._recorder = recorder
        self._proposer = proposer
        self._retention = retention
        self._waiting = deque(_unfinished(trial) for trial in past if not trial.is_finished)
        self._running: dict[str, _Trial] = {}
        """By Ray's id."""
        self._failures: Counter[str] = Counter(trial.reason for trial in past if trial.state == "failed")
        self._succeeded = any(trial.state in ("completed", "stopped") for trial in past)
        self._refusals: dict[str, str] = {}
        """Host and reason of each worker that refused its job, by Ray's id, which it holds until the end."""
        self._is_exhausted = False

    @property
    def finish_reason(self) -> str | None:
        """Set once every trial is done and only workers that refused theirs remain, for which Ray would wait."""
        if not self._is_exhausted or not self._refusals or self._running:
            return None
        return self._proposer.finish_reason or "every trial is done"

    @property
    def hopeless(self) -> str | None:
        """Why continuing is pointless: every trial so far failed for the same reason. Else None."""
        if self._succeeded or len(self._failures) != 1:
            return None
        ((reason, count),) = self._failures.items()
        return f"the first {count} trials all failed: {reason}" if count >= HOPELESS_FAILURES else None

    def suggest(self, trial_id: str) -> Any:
        """The next trial as Ray's configuration; `FINISHED` if there are no more."""
        trial = self._next()
        if trial is None:
            # A running trial may still turn out infeasible, which makes room for another, or lose its worker.
            self._is_exhausted = not self._running
            return None if self._running else Searcher.FINISHED
        self._running[trial_id] = trial
        logger.info("trial %d handed out, %d epochs done, as Ray's %s", trial.number, trial.epochs, trial_id)
        return {"number": trial.number, "job": self._job(trial).to_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record one epoch; epochs repeated after a failure are skipped."""
        if trial_id in self._refusals:
            return
        _log_remarks(self._running[trial_id], result)
        if result["outcome"] == "refused":
            self._worker_refused(trial_id, result)
        if not result["outcome"]:
            self._epoch_ended(self._running[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end of a trial. Its last result comes only here, not to `on_trial_result`."""
        if self._refusals.pop(trial_id, None) is not None:  # its worker died, or all trials are ending
            return
        trial = self._running[trial_id]
        _log_remarks(trial, {} if error else result or {})  # Ray repeats a dead worker's last result
        if error or result is None:
            self._worker_died(trial)
        elif result["outcome"]:
            self._require_fitness(trial, result)
            self._finish(trial, result["outcome"], result["reason"], **_worker(trial, result))
        else:
            self._epoch_ended(trial, result)
            if not trial.is_saved:  # useless without weights, and other trials would end the same way
                self._recorder.give_up(RecordError(unwritable(self._assignment.folder, result["warning"])))
            if result["completed"]:
                self._finish(trial, "completed", "")
            else:
                scheduler = self._assignment.study.search.scheduler.name
                self._finish(trial, "stopped", f"{scheduler} at epoch {trial.epochs}")
        del self._running[trial_id]

    def stop_running(self, reason: str) -> None:
        """Record the trials that a spent budget stopped; those without an epoch are left for a later resume."""
        for trial in self._running.values():
            if trial.epochs > 0 and trial.is_saved:
                self._finish(trial, "stopped", reason)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the journal holds the searcher's state."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds the searcher's state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds the searcher's state."""

    def _next(self) -> _Trial | None:
        if self._waiting:
            return self._waiting.popleft()
        proposal = self._proposer.ask()
        if proposal.events:
            self._recorder.record(*proposal.events)
        return None if proposal.trial is None else _Trial(proposal.trial.number, proposal.trial.config)

    def _job(self, trial: _Trial) -> Job:
        study, data = self._assignment.study, self._assignment.data
        return Job(
            number=trial.number,
            config=trial.config,
            folder=str(self._assignment.folder.trial_checkpoints(trial.number).resolve()),
            metric=study.search.objective,
            cpus=study.resources.cpus_per_trial,
            memory=study.resources.memory_per_trial,
            images=len(data.names),
            data_fingerprint=data.fingerprint,
            cache_entry=data.cache_entry,
            study=self._assignment.token,
            software=asdict(own_software()),
        )

    def _epoch_ended(self, trial: _Trial, result: dict[str, Any]) -> None:
        self._require_fitness(trial, result)
        trial.is_saved = result["weights_saved"]
        if result["epoch"] <= trial.epochs:
            return
        metrics = {name: result[name] for name in METRICS}
        self._recorder.record(
            EpochEnded(
                number=trial.number,
                epoch=result["epoch"],
                metrics=metrics,
                warning=result["warning"],
                **_worker(trial, result),
            )
        )
        trial.epochs = result["epoch"]
        trial.seconds += metrics["epoch_seconds"]
        self._proposer.observe(trial.number, trial.epochs, metrics)
        self._retention.observe(trial.number, metrics)

    def _finish(self, trial: _Trial, state: TrialState, reason: str, **worker: Any) -> None:
        event = TrialFinished(number=trial.number, state=state, reason=reason, duration_s=trial.seconds, **worker)
        self._recorder.record(event)
        self._proposer.finish(trial.number, state)
        self._retention.finish(trial.number, state)
        if state == "failed":
            self._failures[reason] += 1
        self._succeeded = self._succeeded or state in ("completed", "stopped")

    def _worker_died(self, trial: _Trial) -> None:
        """Retry the trial from its checkpoint.

        Ray Tune cannot do this: it gives up a trial at once if its worker dies between the previous trial and this one.
        """
        trial.deaths += 1
        logger.warning(
            "trial %d: worker died (death %d) after epoch %d; the trial is %s",
            trial.number,
            trial.deaths,
            trial.epochs,
            "given up" if trial.deaths > MAX_WORKER_DEATHS else "handed out again",
        )
        if trial.deaths > MAX_WORKER_DEATHS:
            self._finish(trial, "failed", f"its worker died {trial.deaths} times (killed, or out of memory)")
        else:
            self._waiting.appendleft(trial)

    def _worker_refused(self, trial_id: str, result: dict[str, Any]) -> None:
        """Hand the trial out again. The worker keeps its slot until the end, so that other workers get the trial."""
        host = WorkerReport.from_json(result["worker"]).host
        self._refusals[trial_id] = f"{host}: {result['reason']}"
        self._waiting.appendleft(self._running.pop(trial_id))
        self._assignment.warn(f"a worker on {host} cannot train for this study: {result['reason']}")
        if len(self._refusals) >= self._assignment.concurrent:
            self._recorder.give_up(StudyFailedError(_unfit_workers(self._assignment.folder, self._refusals.values())))

    def _require_fitness(self, trial: _Trial, result: dict[str, Any]) -> None:
        """End the study if an unfit worker trained anyway: its results cannot be trusted."""
        problem = _unfitness(result.get("worker"), self._assignment.token)
        if problem:
            folder = self._assignment.folder
            remove_tree(folder.trial_checkpoints(trial.number), folder.path, missing_ok=True)
            self._recorder.give_up(StudyFailedError(_unfit_workers(folder, [problem])))


def _unfinished(trial: TrialRecord) -> _Trial:
    seconds = sum(epoch["epoch_seconds"] for epoch in trial.epochs)
    return _Trial(trial.number, trial.config.model_dump(mode="json"), len(trial.epochs), seconds)


def _log_remarks(trial: _Trial, result: Mapping[str, Any]) -> None:
    """Log the worker's remarks: Python warnings, and the traceback of a failed trial."""
    if remarks := result.get("log"):
        logger.warning("trial %d, epoch %d: %s", trial.number, result["epoch"], remarks)


def _worker(trial: _Trial, result: dict[str, Any]) -> dict[str, Any]:
    """Event fields that identify the worker, unless the journal has them already."""
    if trial.worker == result["worker"]:
        return {}
    trial.worker = result["worker"]
    report = WorkerReport.from_json(trial.worker)
    return {"host": report.host, "versions": report.software.versions}


def _unfitness(report: str | None, token: str) -> str:
    """Why a result cannot belong to this study; empty if it can."""
    if report is None:
        return "a worker that does not say what it runs: its code is older than the driver's"
    worker = WorkerReport.from_json(report)
    if worker.study != token:
        return f"{worker.host}: a result of study {worker.study[:8]}, not {token[:8]}"
    differences = own_software().differences(worker.software)
    return differences and f"{worker.host}: {differences}"


def _unfit_workers(folder: StudyFolder, problems: Iterable[str]) -> str:
    """Error message if no worker may train."""
    return (
        f"no worker has the code and versions of the driver ({'; '.join(sorted(set(problems)))}). Install the same "
        f"version of this program and of its libraries on every node, start the workers there again, then run "
        f"`{folder.command('resume')}`"
    )

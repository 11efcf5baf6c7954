"""Runs a study's trials: each stage of its search in turn, then the confirmation of the best."""

import logging
import threading
import time
from dataclasses import dataclass, replace

from tuning.execution.cluster import concurrent_trials, connect
from tuning.execution.runner import RunOutcome, Workers
from tuning.execution.schedulers import make_scheduler, never_stopping
from tuning.preparation import StudyContext
from tuning.search.feasibility import feasibility_on
from tuning.search.search import Search
from tuning.search.stages import Stage, make_stage, stage_count
from tuning.search.warm_start import compatible_trials
from tuning.selection.confirmation import Confirming, trials_to_confirm
from tuning.storage.journal import TrialFinished, TrialState
from tuning.storage.record import StudyRecord
from tuning.storage.recorder import Recorder

logger = logging.getLogger(__name__)


def run_trials(study: StudyContext, recorder: Recorder, interrupt: threading.Event) -> RunOutcome:
    """Search, then confirm the best, skipping what the journal shows as done.

    Raises:
        RecordError: the study's files cannot be written.
    """
    record = recorder.study()
    opened = _open_stage(study, record, _current_stage(record))
    if opened.ended and opened.is_last and not trials_to_confirm(record):
        return opened.ended
    study.observer.phase("starting workers")
    with connect(study.address, study.config.resources, study.folder.path, study.observer):
        concurrent = concurrent_trials(study.config.resources)
        logger.info("Ray is connected; trials at once: %d", concurrent)
        runner = StageRunner(study, recorder, interrupt, concurrent)
        ended = runner.search()
        logger.info("the search has ended: %s", ended.reason)
        return ended if ended.interrupted else runner.confirm() or ended


@dataclass(frozen=True)
class _OpenStage:
    """One stage and its search, rebuilt from the record."""

    stage: Stage
    search: Search

    @property
    def ended(self) -> RunOutcome | None:
        """The outcome, if the record shows that nothing is left to train, else None."""
        reason = self.search.finish_reason
        if reason is None or not all(trial.is_finished for trial in self.stage.past):
            return None
        return RunOutcome(interrupted=False, reason=reason)

    @property
    def is_last(self) -> bool:
        """Whether this is the last stage to run."""
        return self.stage.number == self.stage.count or self.search.target_reached


def _current_stage(record: StudyRecord) -> int:
    """Index of the latest stage that has trials; earlier stages are done."""
    return max((trial.stage for trial in record.trials if trial.source != "confirm"), default=1) - 1


def _open_stage(study: StudyContext, record: StudyRecord, index: int) -> _OpenStage:
    stage = make_stage(study.config, index, record.trials)
    search = Search(
        stage.study,
        study.data.fingerprint,
        feasibility_on(study.images[stage.study.data]).check,
        stage.past,
        (*(study.transfer_trials if index == 0 else ()), *compatible_trials(stage.study, stage.earlier)),
        previous_stage_trials=stage.earlier,
        stage=stage.number,
        full_study=study.config if stage.count > 1 else None,
        next_number=record.next_number,
    )
    return _OpenStage(stage, search)


@dataclass(frozen=True)
class StageRunner:
    """Runs the stages and the confirmation on the workers."""

    study: StudyContext
    recorder: Recorder
    interrupt: threading.Event
    concurrent: int

    def search(self) -> RunOutcome:
        """Run the rest of the search."""
        record = self.recorder.study()
        deadline = _deadline(self.study, record)
        for index in range(_current_stage(record), stage_count(self.study.config)):
            opened = _open_stage(self.study, self.recorder.study(), index)
            ended = opened.ended or self._run(opened, deadline)
            if opened.stage.count > 1:
                ended = replace(ended, reason=f"{opened.stage}: {ended.reason}")
            is_spent = deadline is not None and time.monotonic() >= deadline
            if ended.interrupted or is_spent or opened.is_last:
                break
            self._close(index, ended)
            if make_stage(self.study.config, index, self.recorder.study().trials).best is None:
                break  # no result for the next stage to start from
        return ended

    def confirm(self) -> RunOutcome | None:
        """Retrain the best trials. None if that finished or there was nothing to retrain."""
        record = self.recorder.study()
        confirming = Confirming(record)
        retrained = [trial for trial in record.trials if trial.source == "confirm"]
        if confirming.finish_reason and all(trial.is_finished for trial in retrained):
            return None
        self.study.observer.phase("confirming the best trials with fresh seeds")
        stage = make_stage(self.study.config, record.ranked[0].stage - 1, record.trials)
        ended = self._workers(stage).run(
            confirming, never_stopping(stage.study), retrained, keep_checkpoints=0, deadline=None
        )
        return ended if ended.interrupted else None

    def _run(self, opened: _OpenStage, deadline: float | None) -> RunOutcome:
        stage, config = opened.stage, self.study.config
        where = f", {stage}: {', '.join(stage.study.space)}" if stage.count > 1 else ""
        self.study.observer.phase(f"searching{where}")
        return self._workers(stage).run(
            opened.search,
            make_scheduler(stage.study, stage.past),
            stage.past,
            # Every trial that confirmation may make champion needs its weights.
            keep_checkpoints=max(config.search.keep_checkpoints, config.confirm.top),
            deadline=deadline,
        )

    def _workers(self, stage: Stage) -> Workers:
        study = self.study
        data = study.images[stage.study.data]
        return Workers(
            stage.study,
            study.folder,
            data,
            self.recorder,
            self.interrupt,
            self.concurrent,
            study.observer.warning,
        )

    def _close(self, index: int, ended: RunOutcome) -> None:
        """End the trials that the stage's budget left unfinished: the next stage starts from the results so far."""
        for trial in make_stage(self.study.config, index, self.recorder.study().trials).past:
            if not trial.is_finished:
                state: TrialState = "failed" if trial.epochs else "stopped"  # failed: its weights are not on disk
                self.recorder.record(TrialFinished(number=trial.number, state=state, reason=ended.reason))


def _deadline(study: StudyContext, record: StudyRecord) -> float | None:
    """`time.monotonic()` at which the time budget runs out, less what earlier drivers used."""
    budget = study.config.search.time_budget
    return None if budget is None else time.monotonic() + budget - record.search_seconds

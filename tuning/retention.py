"""Which checkpoints stay on disk: those of running trials and of the best few finished ones."""

import shutil
from collections.abc import Sequence

from search_spaces.schema import StudyConfig
from trainables.training.checkpoint import remove_resumable
from tuning.journal import FINISHED, TrialState
from tuning.layout import StudyFolder
from tuning.record import TrialRecord


class Retention:
    """Deletes a finished trial's checkpoints once `search.keep_checkpoints` finished trials are better."""

    def __init__(self, study: StudyConfig, folder: StudyFolder, past: Sequence[TrialRecord]) -> None:
        self._metric = study.search.objective
        self._sign = 1.0 if study.search.mode == "max" else -1.0
        self._keep = study.search.keep_checkpoints
        self._folder = folder
        self._best: dict[int, float] = {}
        self._finished: set[int] = set()
        for trial in past:
            value = trial.best_value(self._metric, study.search.mode)
            if value is not None:
                self._best[trial.number] = self._sign * value
            if trial.state in FINISHED:
                self.finish(trial.number, trial.state)

    def observe(self, number: int, metrics: dict[str, float]) -> None:
        """Take note of one epoch."""
        value = self._sign * metrics[self._metric]
        self._best[number] = max(value, self._best.get(number, value))

    def finish(self, number: int, state: TrialState) -> None:
        """Delete what the end of this trial makes superfluous."""
        if state not in ("completed", "stopped") or number not in self._best:
            self._delete(number)
            return
        remove_resumable(self._folder.trial_checkpoints(number))
        self._finished.add(number)
        # The earliest among equals is the champion, so later equals go first.
        ranked = sorted(self._finished, key=lambda trial: (-self._best[trial], trial))
        for beaten in ranked[self._keep :]:
            self._finished.discard(beaten)
            self._delete(beaten)

    def _delete(self, number: int) -> None:
        self._best.pop(number, None)
        folder = self._folder.trial_checkpoints(number)
        if folder.exists():
            shutil.rmtree(folder)

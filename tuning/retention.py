"""Which checkpoints stay on disk: those of running trials and of the best few finished ones."""

import shutil
from collections.abc import Sequence

from search_spaces.schema import StudyConfig
from trainables.training.checkpoint import remove_resumable
from tuning.journal import FINISHED, TrialState
from tuning.layout import StudyFolder
from tuning.record import TrialRecord


class Retention:
    """Deletes a finished trial's checkpoints once `keep` finished trials are better."""

    def __init__(self, study: StudyConfig, folder: StudyFolder, past: Sequence[TrialRecord], keep: int) -> None:
        self._objective = study.search.ranking
        self._keep = keep
        self._folder = folder
        self._best: dict[int, tuple[float, float]] = {}
        self._finished: set[int] = set()
        for trial in past:
            for metrics in trial.epochs:
                self.observe(trial.number, metrics)
            if trial.state in FINISHED:
                self.finish(trial.number, trial.state)

    def observe(self, number: int, metrics: dict[str, float]) -> None:
        """Take note of one epoch."""
        rank = self._objective.rank(metrics)
        self._best[number] = max(rank, self._best.get(number, rank))

    def finish(self, number: int, state: TrialState) -> None:
        """Delete what the end of this trial makes superfluous."""
        if state not in ("completed", "stopped") or number not in self._best:
            self._delete(number)
            return
        remove_resumable(self._folder.trial_checkpoints(number))
        self._finished.add(number)
        # The earliest among equals is the champion, so later equals go first.
        ranked = sorted(sorted(self._finished), key=lambda trial: self._best[trial], reverse=True)
        for beaten in ranked[self._keep :]:
            self._finished.discard(beaten)
            self._delete(beaten)

    def _delete(self, number: int) -> None:
        self._best.pop(number, None)
        folder = self._folder.trial_checkpoints(number)
        if folder.exists():
            shutil.rmtree(folder)

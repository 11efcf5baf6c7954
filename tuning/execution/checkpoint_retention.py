"""Decides which checkpoints to keep: running trials, the best finished ones, and the Pareto set."""

from collections.abc import Sequence

from search_spaces.schema import StudyConfig
from trainables.errors import InputError
from trainables.safe_files import remove_tree
from trainables.training.checkpoint import has_best, remove_resumable
from tuning.selection.pareto import Point, pareto
from tuning.storage.journal import FINISHED, ChampionPicked, TrialProposed, TrialState, read_events
from tuning.storage.journal_lines import Position
from tuning.storage.paths import StudyFolder
from tuning.storage.record import StudyRecord, TrialRecord


class Retention:
    """Deletes a finished trial's checkpoints once `keep` finished trials are better.

    If `keep` is not 0, it also keeps a manually picked champion and, with a second objective, the Pareto set, so that
    any of it can still be picked.
    """

    def __init__(self, study: StudyConfig, folder: StudyFolder, past: Sequence[TrialRecord], keep: int) -> None:
        """`past`: trials of earlier drivers. The study's journal must exist."""
        self._objective = study.search.ranking
        self._second = study.search.second_objective
        self._keep = keep
        self._folder = folder
        self._best: dict[int, tuple[float, float]] = {}
        self._finished: set[int] = set()
        self._picked: int | None = None
        self._sizes: dict[int, int] = {}
        """Value of the second objective by trial."""
        self._journal_read = Position()
        self._read_journal()
        for trial in past:
            for metrics in trial.epochs:
                self.observe(trial.number, metrics)
            if trial.state in FINISHED:
                self.finish(trial.number, trial.state)

    def observe(self, number: int, metrics: dict[str, float]) -> None:
        """Note the metrics of one epoch."""
        rank = self._objective.rank(metrics)
        self._best[number] = max(rank, self._best.get(number, rank))

    def finish(self, number: int, state: TrialState) -> None:
        """Delete the checkpoints that the end of this trial makes unnecessary."""
        if state not in ("completed", "stopped") or number not in self._best:
            self._delete(number)
            return
        remove_resumable(self._folder.trial_checkpoints(number))
        self._finished.add(number)
        for beaten in self._finished - self._kept():
            self._finished.discard(beaten)
            self._delete(beaten)

    def _kept(self) -> set[int]:
        if not self._keep:
            return set()
        # The earliest of equal trials is the champion, so later ones are deleted first.
        ranked = sorted(sorted(self._finished), key=lambda trial: self._best[trial], reverse=True)
        picked = {self._picked} if self._picked is not None else set()
        return {*ranked[: self._keep], *self._trade_offs(), *picked}

    def _trade_offs(self) -> list[int]:
        """The Pareto set of all finished trials. Every deleted trial is dominated by one that was kept."""
        if self._second is None:
            return []
        self._read_journal()
        return pareto(
            Point(-self._best[number][0], self._sizes[number], number)
            for number in self._finished
            if number in self._sizes
        )

    def _read_journal(self) -> None:
        """Read new events: sizes of proposed trials, and the manual pick."""
        for event, end in read_events(self._folder.journal, self._journal_read):
            self._journal_read = end
            if isinstance(event, ChampionPicked):
                self._picked = event.number
            elif isinstance(event, TrialProposed) and self._second in event.size:
                self._sizes[event.number] = event.size[self._second]

    def _delete(self, number: int) -> None:
        self._best.pop(number, None)
        remove_tree(self._folder.trial_checkpoints(number), self._folder.storage, missing_ok=True)


def require_weights(folder: StudyFolder, record: StudyRecord, top: int) -> None:
    """Check that each of the `top` best trials can become champion.

    Raises:
        InputError: the weights of one of them were deleted.
    """
    best = [trial.number for trial in record.ranked[:top]]
    kept = [number for number in best if has_best(folder.trial_checkpoints(number))]
    if kept != best:
        gone = ", ".join(str(number) for number in best if number not in kept)
        raise InputError(
            f"confirm.top: {top} best trials are to be retrained and any of them may become champion, but "
            f"the weights of trial {gone} were not kept (search.keep_checkpoints was "
            f"{record.config.search.keep_checkpoints}); {len(kept)} of them still have weights"
        )

"""What a search may cost, what it has cost, and what that has brought."""

from dataclasses import dataclass

from search_spaces.schema import SearchConfig
from tuning.storage.journal import TrialState


@dataclass
class _Trial:
    epochs: int = 0
    best: float | None = None


class Budget:
    """Adds up trials, epochs and results. Wall-clock time is the driver's own business."""

    def __init__(self, search: SearchConfig) -> None:
        self._search = search
        self._trials: dict[int, _Trial] = {}
        self._feasible = 0
        self._epochs = 0
        self._best_finished: float | None = None
        self._finished_without_better = 0
        self.target_reached = False
        """Whether any epoch was as good as wanted."""

    @property
    def trials_spent(self) -> str | None:
        """Said when as many trials as wanted have begun; infeasible ones do not count."""
        return f"all {self._search.trials} trials are done" if self._feasible >= self._search.trials else None

    @property
    def spent(self) -> str | None:
        """Said when nothing more is worth training, running trials included."""
        search = self._search
        if self.target_reached:
            return f"{search.objective} has reached the target {search.target}"
        if search.total_epochs is not None and self._epochs >= search.total_epochs:
            return f"the budget of {search.total_epochs} epochs is spent"
        if search.patience is not None and self._finished_without_better >= search.patience:
            return f"no better {search.objective} in the last {search.patience} finished trials"
        return None

    def start(self, number: int) -> None:
        """A trial begins."""
        self._trials[number] = _Trial()
        self._feasible += 1

    def observe(self, number: int, epoch: int, value: float) -> float:
        """An epoch has ended with this objective; returns the trial's best so far."""
        trial = self._trials[number]
        self._epochs += max(0, epoch - trial.epochs)
        trial.epochs = max(trial.epochs, epoch)
        if trial.best is None or self._is_better(value, trial.best):
            trial.best = value
        target = self._search.target
        if target is not None and not self._is_better(target, value):
            self.target_reached = True
        return trial.best

    def finish(self, number: int, state: TrialState) -> float | None:
        """A trial is over; returns its best objective, None where it has none."""
        trial = self._trials[number]
        if state == "infeasible":
            self._feasible -= 1
            return None
        if state != "failed" and trial.best is not None and self._is_better_than_finished(trial.best):
            self._best_finished = trial.best
            self._finished_without_better = 0
        else:
            self._finished_without_better += 1
        return trial.best

    def _is_better_than_finished(self, value: float) -> bool:
        return self._best_finished is None or self._is_better(value, self._best_finished)

    def _is_better(self, value: float, than: float) -> bool:
        return value > than if self._search.mode == "max" else value < than

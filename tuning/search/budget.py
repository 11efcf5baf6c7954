"""The budget of a search: what it may use, what it has used, and the best result so far."""

from dataclasses import dataclass

from search_spaces.schema import SearchConfig
from tuning.storage.journal import TrialState


@dataclass
class _Trial:
    epochs: int = 0
    best: float | None = None


class Budget:
    """Counts trials, epochs and results. The driver handles wall-clock time."""

    def __init__(self, search: SearchConfig) -> None:
        self._search = search
        self._trials: dict[int, _Trial] = {}
        self._feasible = 0
        self._epochs = 0
        self._best_finished: float | None = None
        self._finished_without_better = 0
        self.target_reached = False
        """Whether any epoch reached `search.target`."""

    @property
    def trials_spent(self) -> str | None:
        """Stop reason once `search.trials` feasible trials have started, else None."""
        return f"all {self._search.trials} trials are done" if self._feasible >= self._search.trials else None

    @property
    def spent(self) -> str | None:
        """Stop reason once running trials should stop too, else None."""
        search = self._search
        if self.target_reached:
            return f"{search.objective} has reached the target {search.target}"
        if search.total_epochs is not None and self._epochs >= search.total_epochs:
            return f"the budget of {search.total_epochs} epochs is spent"
        if search.patience is not None and self._finished_without_better >= search.patience:
            return f"no better {search.objective} in the last {search.patience} finished trials"
        return None

    def start(self, number: int) -> None:
        """Count a new trial."""
        self._trials[number] = _Trial()
        self._feasible += 1

    def observe(self, number: int, epoch: int, value: float) -> float:
        """Count an epoch and its objective; return the trial's best so far."""
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
        """Note the end of a trial; return its best objective, or None."""
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

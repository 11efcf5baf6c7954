"""A running study in numbers, kept up to date event by event: the cost of an event does not grow with the study."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from search_spaces.schema import StudyConfig
from trainables.config.objective import Objective
from tuning.journal import (
    EpochEnded,
    Event,
    StudyOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
    TrialState,
)


@dataclass
class OpenTrial:
    """A trial that is not finished."""

    number: int
    params: dict[str, Any]
    max_epochs: int
    state: TrialState = "proposed"
    epoch: int = 0
    """Epochs done."""
    value: float | None = None
    """The objective after the last epoch."""
    best: float | None = None
    """The objective after its best epoch."""
    best_epoch: int = 0
    rank: tuple[float, float] | None = None
    """`Objective.rank` of its best epoch: greater is better."""


@dataclass(frozen=True)
class Leader:
    """The best trial so far."""

    number: int
    epoch: int
    value: float
    rank: tuple[float, float]
    params: dict[str, Any]


class StudyProgress:
    """Counters of one study. Feed it every event of the journal, past ones first, in order."""

    def __init__(self) -> None:
        self.name = ""
        self.objective = "val_accuracy"
        self._ranking = Objective()
        self.trials_wanted = 0
        self.time_budget: float | None = None
        self.counts: Counter[TrialState] = Counter()
        self.open: dict[int, OpenTrial] = {}
        self._finished_leader: Leader | None = None
        self._durations_sum = 0.0
        self._opened_at: float | None = None
        self._last_at = 0.0
        self._earlier_seconds = 0.0
        self._concurrent = 0

    def event(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, StudyOpened):
            self._study_opened(event)
        elif isinstance(event, TrialProposed):
            max_epochs = event.config.get("training", {}).get("max_epochs", 0)
            self.open[event.number] = OpenTrial(event.number, event.params, max_epochs)
            self.counts["proposed"] += 1
        elif isinstance(event, TrialStarted):
            self._move(self.open[event.number], "running")
            self._concurrent = max(self._concurrent, self.counts["running"])
        elif isinstance(event, EpochEnded):
            self._epoch_ended(self.open[event.number], event)
        elif isinstance(event, TrialFinished):
            self._trial_finished(self.open.pop(event.number), event)
        self._last_at = event.time

    @property
    def done(self) -> int:
        """Finished trials that count against the budget."""
        return self.counts["completed"] + self.counts["stopped"] + self.counts["failed"]

    @property
    def running(self) -> list[OpenTrial]:
        """Trials on a worker now, by number."""
        return [trial for trial in self.open.values() if trial.state == "running"]

    @property
    def leader(self) -> Leader | None:
        """The best of all trials that have not failed, running ones included."""
        leader = self._finished_leader
        for trial in self.open.values():
            leader = _better(leader, trial)
        return leader

    def elapsed(self, now: float | None = None) -> float:
        """Seconds that drivers have spent on the study up to `now`."""
        if self._opened_at is None:
            return 0.0
        return self._earlier_seconds + max(0.0, (time.time() if now is None else now) - self._opened_at)

    def remaining(self, now: float | None = None) -> float | None:
        """Seconds to go, from the mean time of what has finished; None before there is anything to go by."""
        by_trials = self._remaining_by_trials()
        if self.time_budget is None:
            return by_trials
        by_budget = max(0.0, self.time_budget - self.elapsed(now))
        return by_budget if by_trials is None else min(by_trials, by_budget)

    def _remaining_by_trials(self) -> float | None:
        if self.done == 0 or self._concurrent == 0:
            return None
        under_way = sum(trial.epoch / max(1, trial.max_epochs) for trial in self.running)
        to_train = max(0.0, self.trials_wanted - self.done - under_way)
        return to_train * self._durations_sum / self.done / min(self._concurrent, max(1.0, to_train))

    def _study_opened(self, event: StudyOpened) -> None:
        config = StudyConfig.model_validate(event.study)
        self.name, self.objective, self._ranking = config.name, config.search.objective, config.search.ranking
        self.trials_wanted, self.time_budget = config.search.trials, config.search.time_budget
        if self._opened_at is not None:
            self._earlier_seconds += self._last_at - self._opened_at
        self._opened_at = event.time
        self._concurrent = 0
        for trial in self.running:  # of a driver that is gone
            self._move(trial, "proposed")

    def _epoch_ended(self, trial: OpenTrial, event: EpochEnded) -> None:
        trial.epoch = event.epoch
        trial.value = event.metrics[self.objective]
        rank = self._ranking.rank(event.metrics)
        if trial.rank is None or rank > trial.rank:
            trial.best, trial.best_epoch, trial.rank = trial.value, event.epoch, rank

    def _trial_finished(self, trial: OpenTrial, event: TrialFinished) -> None:
        self._move(trial, event.state)
        if event.state in ("completed", "stopped"):
            self._finished_leader = _better(self._finished_leader, trial)
        if event.state != "infeasible":
            self._durations_sum += event.duration_s

    def _move(self, trial: OpenTrial, state: TrialState) -> None:
        self.counts[trial.state] -= 1
        self.counts[state] += 1
        trial.state = state


def _better(leader: Leader | None, trial: OpenTrial) -> Leader | None:
    """The better of the two; the earlier trial among equals, as in `tuning.record`."""
    if trial.rank is None or trial.best is None:
        return leader
    if leader is not None and (trial.rank, -trial.number) <= (leader.rank, -leader.number):
        return leader
    return Leader(trial.number, trial.best_epoch, trial.best, trial.rank, trial.params)

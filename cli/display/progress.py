"""Counters of a running study, updated by each event in time independent of the study's size."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.schema import StudyConfig
from trainables.config.objective import Objective
from tuning.storage.journal import (
    EpochEnded,
    Event,
    StudyEnded,
    StudyOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
    TrialState,
)
from tuning.storage.record import StudyRecord
from tuning.storage.resolved_config import opened_config


@dataclass
class OpenTrial:
    """A trial that is not finished."""

    number: int
    params: dict[str, Any]
    max_epochs: int
    confirms: bool = False
    """Whether it retrains one of the best trials; such a trial is never the leader."""
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


@dataclass
class Tally:
    """Progress of the search or the confirmation."""

    wanted: int = 0
    done: int = 0
    """Completed, stopped or failed trials."""
    seconds: float = 0.0
    """Time on workers of the trials done."""


@dataclass(frozen=True)
class Leader:
    """The best trial so far."""

    number: int
    epoch: int
    value: float
    rank: tuple[float, float]
    params: dict[str, Any]


class StudyProgress:
    """Counters of one study: start from the record of a resumed study, then feed every event in order."""

    def __init__(self) -> None:
        self.name = ""
        self.objective = "val_accuracy"
        self._ranking = Objective()
        self.search = Tally()
        self.confirm = Tally()
        self.time_budget: float | None = None
        self.counts: Counter[TrialState] = Counter()
        self.open: dict[int, OpenTrial] = {}
        self._finished_leader: Leader | None = None
        self._data: Any = None
        """Data section of the latest trial."""
        self._opened_at: float | None = None
        self._ended_at: float | None = None
        self._last_at = 0.0
        self._earlier_seconds = 0.0
        self._concurrent = 0

    def take_up(self, record: StudyRecord) -> None:
        """Start from the record of a study that an earlier driver left."""
        self._settings(record.config)
        self._earlier_seconds = record.search_seconds
        if record.state != "running":
            self._ended_at = record.opened_at[-1]
        for trial in record.trials:
            self._propose(trial.number, trial.params, trial.config.model_dump(mode="json"), trial.source)
            counted = self.open[trial.number]
            for epoch, metrics in enumerate(trial.epochs, start=1):
                self._epoch_ended(counted, epoch, metrics)
            if trial.is_finished:
                self._trial_finished(self.open.pop(trial.number), trial.state, trial.duration_s)
            else:
                self._move(counted, trial.state)

    def event(self, event: Event) -> None:
        """Process one event."""
        if isinstance(event, StudyOpened):
            self._study_opened(event)
        elif isinstance(event, TrialProposed):
            self._propose(event.number, event.params, event.config, event.source)
        elif isinstance(event, TrialStarted):
            self._move(self.open[event.number], "running")
            self._concurrent = max(self._concurrent, self.counts["running"])
        elif isinstance(event, EpochEnded):
            self._epoch_ended(self.open[event.number], event.epoch, event.metrics)
        elif isinstance(event, TrialFinished):
            self._trial_finished(self.open.pop(event.number), event.state, event.duration_s)
        elif isinstance(event, StudyEnded):
            self._ended_at = event.time
        self._last_at = event.time

    @property
    def running(self) -> list[OpenTrial]:
        """Trials on a worker now, by number."""
        return [trial for trial in self.open.values() if trial.state == "running"]

    @property
    def leader(self) -> Leader | None:
        """The best trial, running ones included, failed ones excluded."""
        leader = self._finished_leader
        for trial in self.open.values():
            leader = _better(leader, trial)
        return leader

    def elapsed(self, now: float | None = None) -> float:
        """Seconds that drivers have run up to `now`; stops when the study ends."""
        if self._opened_at is None:
            return self._earlier_seconds
        until = self._ended_at or now or time.time()
        return self._earlier_seconds + max(0.0, until - self._opened_at)

    def remaining(self, now: float | None = None) -> float | None:
        """Seconds remaining, from the mean time per finished trial; None before the first and after the study's end."""
        if self._ended_at is not None:
            return None
        by_trials = self._remaining_by_trials()
        if self.time_budget is None:
            return by_trials
        by_budget = max(0.0, self.time_budget - self.elapsed(now))
        return by_budget if by_trials is None else min(by_trials, by_budget)

    def _remaining_by_trials(self) -> float | None:
        if self.search.done == 0 or self._concurrent == 0:
            return None
        searching, confirming = self._to_train(confirms=False), self._to_train(confirms=True)
        mean = self.search.seconds / self.search.done
        confirm_mean = self.confirm.seconds / self.confirm.done if self.confirm.done else mean
        at_once = min(self._concurrent, max(1.0, searching + confirming))
        return (searching * mean + confirming * confirm_mean) / at_once

    def _to_train(self, *, confirms: bool) -> float:
        """Trials left to train; a running trial counts by the share of its epochs that is left."""
        tally = self.confirm if confirms else self.search
        under_way = sum(trial.epoch / max(1, trial.max_epochs) for trial in self.running if trial.confirms == confirms)
        return max(0.0, tally.wanted - tally.done - under_way)

    def _study_opened(self, event: StudyOpened) -> None:
        self._settings(opened_config(event))
        if self._opened_at is not None:
            self._earlier_seconds += (self._ended_at or self._last_at) - self._opened_at
        self._opened_at, self._ended_at = event.time, None
        self._concurrent = 0
        for trial in self.running:  # of an earlier driver
            self._move(trial, "proposed")

    def _settings(self, config: StudyConfig) -> None:
        self.name, self.objective, self._ranking = config.name, config.search.objective, config.search.ranking
        self.search.wanted, self.time_budget = config.search.trials_in_all, config.search.time_budget
        self.confirm.wanted = config.confirm.top * config.confirm.seeds

    def _propose(self, number: int, params: dict[str, Any], config: dict[str, Any], source: str) -> None:
        if config.get("data") != self._data:  # a stage on other images: accuracies are not comparable
            self._data, self._finished_leader = config.get("data"), None
        max_epochs = config.get("training", {}).get("max_epochs", 0)
        self.open[number] = OpenTrial(number, params, max_epochs, source == "confirm")
        self.counts["proposed"] += 1

    def _epoch_ended(self, trial: OpenTrial, epoch: int, metrics: Mapping[str, float]) -> None:
        trial.epoch = epoch
        trial.value = metrics[self.objective]
        rank = self._ranking.rank(metrics)
        if trial.rank is None or rank > trial.rank:
            trial.best, trial.best_epoch, trial.rank = trial.value, epoch, rank

    def _trial_finished(self, trial: OpenTrial, state: TrialState, seconds: float) -> None:
        self._move(trial, state)
        if state in ("completed", "stopped"):
            self._finished_leader = _better(self._finished_leader, trial)
        if state != "infeasible":
            tally = self.confirm if trial.confirms else self.search
            tally.done += 1
            tally.seconds += seconds

    def _move(self, trial: OpenTrial, state: TrialState) -> None:
        self.counts[trial.state] -= 1
        self.counts[state] += 1
        trial.state = state


def _better(leader: Leader | None, trial: OpenTrial) -> Leader | None:
    """The better of the two; the earlier one if equal, as in `tuning.storage.record`."""
    if trial.rank is None or trial.best is None or trial.confirms:
        return leader
    if leader is not None and (trial.rank, -trial.number) <= (leader.rank, -leader.number):
        return leader
    return Leader(trial.number, trial.best_epoch, trial.best, trial.rank, trial.params)

"""What a journal says, folded into plain objects: the study and its trials."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from trainables.config.objective import Objective
from tuning.storage.journal import (
    FINISHED,
    ChampionLogged,
    ChampionPicked,
    EpochEnded,
    Event,
    StudyEnded,
    StudyOpened,
    TestOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
    TrialState,
    read_events,
)


@dataclass(frozen=True)
class TrialRecord:
    """All that is known of one trial."""

    number: int
    source: Literal["search", "first", "confirm"]
    params: dict[str, Any]
    config: TrialConfig
    hash: str
    size: dict[str, int]
    state: TrialState
    proposed_at: float
    started_at: float | None = None
    epochs: tuple[dict[str, float], ...] = ()
    """Metrics by epoch; index 0 is epoch 1."""
    reason: str = ""
    duration_s: float = 0.0
    stage: int = 0
    """Round of a staged search, counted from 0."""
    host: str = ""
    """Where it was trained, the last node if there were several; empty as long as nobody knows."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of Python and the libraries there."""

    @property
    def is_finished(self) -> bool:
        """No worker will train it again."""
        return self.state in FINISHED

    def best_metrics(self, objective: Objective) -> dict[str, float] | None:
        """Metrics of the best epoch; None before the first."""
        epoch = objective.best_epoch(self.epochs)
        return None if epoch is None else self.epochs[epoch - 1]


@dataclass(frozen=True)
class StudyRecord:
    """A study as its journal tells it."""

    config: StudyConfig
    data_fingerprint: str
    state: Literal["running", "finished", "interrupted", "failed"]
    """`running` also when the driver died without a word: `tuning.storage.lock` tells the two apart."""
    reason: str
    opened_at: tuple[float, ...]
    trials: tuple[TrialRecord, ...] = ()
    picked: ChampionPicked | None = None
    """The trial that the user chose as champion; None: `tuning.selection.confirmation.recommended` decides."""
    champion_model: ChampionLogged | None = None
    tests: tuple[TestOpened, ...] = ()
    search_seconds: float = field(default=0.0)
    """Wall-clock time that drivers have spent on the study so far."""
    version: str = ""
    """Of the program that worked on it last."""

    @property
    def ranked(self) -> list[TrialRecord]:
        """`rank_trials` of the search's. Retrainings that confirm a trial are evidence for it, not rivals.

        Rounds of a staged search may see fewer or smaller images. Only trials on the latest ones are comparable, and
        only these are ranked.
        """
        searched = rank_trials(
            (trial for trial in self.trials if trial.source != "confirm"), self.config.search.ranking
        )
        latest = max(searched, key=lambda trial: trial.number, default=None)
        return [trial for trial in searched if latest is not None and trial.config.data == latest.config.data]


def rank_trials(trials: Iterable[TrialRecord], objective: Objective) -> list[TrialRecord]:
    """Those that were completed or stopped after an epoch or more, best first; among equals the earlier is first."""
    able = [trial for trial in trials if trial.state in ("completed", "stopped") and trial.epochs]
    return sorted(able, key=lambda trial: (_rank(trial, objective), -trial.number), reverse=True)


def _rank(trial: TrialRecord, objective: Objective) -> tuple[float, float]:
    best = trial.best_metrics(objective)
    assert best is not None, "a trial with epochs has a best one"
    return objective.rank(best)


def read_record(journal: Path) -> StudyRecord:
    """Read the study of a journal file.

    Raises:
        InputError: the file holds something that is no event, or does not begin with a study.
    """
    return fold([event for event, _ in read_events(journal)])


def fold(events: Sequence[Event]) -> StudyRecord:
    """The study after these events."""
    opened = [event for event in events if isinstance(event, StudyOpened)]
    if not opened:
        raise ValueError("a journal begins with study_opened; this one holds none")
    state, reason = _study_state(events)
    champions = [event for event in events if isinstance(event, ChampionLogged)]
    picks = [event for event in events if isinstance(event, ChampionPicked)]
    return StudyRecord(
        config=StudyConfig.model_validate(opened[-1].study),
        data_fingerprint=opened[-1].data_fingerprint,
        state=state,
        reason=reason,
        opened_at=tuple(event.time for event in opened),
        trials=_fold_trials(events),
        picked=picks[-1] if picks else None,
        champion_model=champions[-1] if champions else None,
        tests=tuple(event for event in events if isinstance(event, TestOpened)),
        search_seconds=_search_seconds(events),
        version=opened[-1].version,
    )


def _study_state(events: Sequence[Event]) -> tuple[Literal["running", "finished", "interrupted", "failed"], str]:
    for event in reversed(events):
        if isinstance(event, StudyEnded):
            return event.state, event.reason
        if isinstance(event, StudyOpened):
            return "running", ""
    return "running", ""


def _search_seconds(events: Iterable[Event]) -> float:
    """Sum over drivers of the time from opening to the last word of the search, whether it ended well or died."""
    total, began, last = 0.0, None, 0.0
    for event in events:
        if isinstance(event, StudyOpened):
            total += last - began if began is not None else 0.0
            began = last = event.time
        elif not isinstance(event, ChampionPicked | ChampionLogged | TestOpened):
            last = event.time
    return total + (last - began if began is not None else 0.0)


def _fold_trials(events: Iterable[Event]) -> tuple[TrialRecord, ...]:
    trials: dict[int, TrialRecord] = {}
    for event in events:
        if isinstance(event, TrialProposed):
            trials[event.number] = TrialRecord(
                number=event.number,
                source=event.source,
                params=event.params,
                config=TrialConfig.model_validate(event.config),
                hash=event.hash,
                size=event.size,
                stage=event.stage,
                state="proposed",
                proposed_at=event.time,
            )
        elif isinstance(event, TrialStarted):
            trial = trials[event.number]
            trials[event.number] = replace(trial, state="running", started_at=trial.started_at or event.time)
        elif isinstance(event, EpochEnded):
            trial = _on_worker(trials[event.number], event)
            epochs = (*trial.epochs[: event.epoch - 1], event.metrics)
            trials[event.number] = replace(trial, epochs=epochs)
        elif isinstance(event, TrialFinished):
            trial = _on_worker(trials[event.number], event)
            trials[event.number] = replace(trial, state=event.state, reason=event.reason, duration_s=event.duration_s)
    return tuple(trials[number] for number in sorted(trials))


def _on_worker(trial: TrialRecord, event: EpochEnded | TrialFinished) -> TrialRecord:
    return replace(trial, host=event.host, versions=event.versions) if event.host else trial

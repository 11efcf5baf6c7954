"""A study and its trials as plain objects."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from trainables.config.objective import Objective
from tuning.storage.journal import FINISHED, ChampionLogged, ChampionPicked, JournalRepaired, TestOpened, TrialState


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
    """Stage of a staged search, counted from 0."""
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
    repairs: tuple[JournalRepaired, ...] = ()
    """When damaged lines were taken out of its journal."""

    @property
    def ranked(self) -> list[TrialRecord]:
        """`rank_trials` of the search's. Retrainings that confirm a trial are evidence for it, not rivals.

        Stages of a staged search may see fewer or smaller images. Only trials on the latest ones are comparable, and
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

"""A study and its trials as plain objects."""

import time
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
    stage: int = 1
    """Stage of a staged search, counted from 1."""
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
    unchecked_lines: int = 0
    """Lines of the journal that carry no checksum: version 0.1 wrote them."""

    @property
    def next_number(self) -> int:
        """Of the next trial: no number is used twice, not even that of a trial which the journal has lost."""
        return max(
            (*(trial.number + 1 for trial in self.trials), *(repair.next_number for repair in self.repairs)), default=0
        )

    @property
    def caveats(self) -> tuple[str, ...]:
        """Why some of the record cannot be relied on as the rest can, a sentence each; empty for a sound journal."""
        caveats = [
            f"the journal was repaired on {time.strftime('%Y-%m-%d', time.localtime(repair.time))}: {_lost(repair)}; "
            f"the damaged one is kept as {repair.damaged}"
            for repair in self.repairs
        ]
        if self.unchecked_lines:
            caveats.append(
                f"the first {self.unchecked_lines} lines of the journal were written by version 0.1, without "
                "checksums: damage to them may go unnoticed"
            )
        return tuple(caveats)

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


def _lost(repair: JournalRepaired) -> str:
    lost = [f"{repair.dropped} lines were lost"]
    if repair.lost:
        lost.append(f"trials {', '.join(map(str, repair.lost))} with all they had")
    if repair.trials:
        lost.append(f"a part of trials {', '.join(map(str, repair.trials))}")
    return ", ".join(lost)


def rank_trials(trials: Iterable[TrialRecord], objective: Objective) -> list[TrialRecord]:
    """Those that were completed or stopped after an epoch or more, best first; among equals the earlier is first."""
    able = [trial for trial in trials if trial.state in ("completed", "stopped") and trial.epochs]
    return sorted(able, key=lambda trial: (_rank(trial, objective), -trial.number), reverse=True)


def _rank(trial: TrialRecord, objective: Objective) -> tuple[float, float]:
    best = trial.best_metrics(objective)
    assert best is not None, "a trial with epochs has a best one"
    return objective.rank(best)

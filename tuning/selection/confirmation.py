"""Confirming: the best trials are retrained with fresh seeds, in full, before a difference is believed.

The best of many noisy trials is best partly by luck. Fresh seeds know nothing of that luck, so their mean is an honest
estimate; and where two means differ by less than the seeds do, the smaller model is as good a choice.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from trainables.config import TrialConfig
from trainables.config.base import MAX_SEED
from tuning.search.proposer import Proposal
from tuning.selection.statistics import CONFIDENCE, Estimate, mean_interval
from tuning.storage.journal import TrialProposed, TrialState
from tuning.storage.record import StudyRecord, TrialRecord


@dataclass(frozen=True)
class Confirmed:
    """One of the best trials, with what its retraining gave."""

    trial: TrialRecord
    values: dict[int, float]
    """Objective by seed, of the retrained trials that were completed."""
    estimate: Estimate
    behind: Estimate | None = None
    """How far it is behind the champion, seed by seed (positive: worse). The intervals of all candidates hold together
    with 95 % confidence. None for the champion, and where fewer than two seeds can be compared."""

    @property
    def is_tied(self) -> bool:
        """Whether the champion's lead over it may be chance."""
        return self.behind is not None and self.behind.includes_zero


@dataclass(frozen=True)
class Confirmation:
    """What retraining the best trials has shown."""

    candidates: tuple[Confirmed, ...]
    """By mean, best first; the first is the champion."""
    unreliable: tuple[TrialRecord, ...]
    """Candidates that failed with some seed or are still being retrained; none of them can be champion."""

    @property
    def champion(self) -> Confirmed:
        """The best mean."""
        return self.candidates[0]


class Confirming:
    """Proposes the retrainings to whoever runs a `Search`; unfinished ones of an earlier driver are its to continue."""

    def __init__(self, record: StudyRecord) -> None:
        self._waiting = deque(trials_to_confirm(record))

    @property
    def finish_reason(self) -> str | None:
        """Said when every retraining is proposed."""
        return None if self._waiting else "the best trials are retrained"

    @property
    def stop_reason(self) -> str | None:
        """Never: a budget is the search's."""
        return None

    def ask(self) -> Proposal:
        """The next retraining."""
        trial = self._waiting.popleft() if self._waiting else None
        return Proposal(() if trial is None else (trial,), trial)

    def observe(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Nothing to learn."""

    def finish(self, number: int, state: TrialState) -> None:
        """Nothing to learn."""


def trials_to_confirm(record: StudyRecord) -> tuple[TrialProposed, ...]:
    """The retrainings that `confirm` asks for and that the record does not hold yet, numbered on.

    Every candidate gets the same seeds, none of which the search has used. They train to their last epoch: run them
    without a scheduler.
    """
    known = {trial.hash for trial in record.trials}
    number = record.next_number
    proposed: list[TrialProposed] = []
    for candidate in candidates(record):
        for seed in _fresh_seeds(record):
            config = _with_seed(candidate.config, seed)
            fingerprint = config.canonical_hash(record.data_fingerprint)
            if fingerprint in known:
                continue
            proposed.append(
                TrialProposed(
                    number=number + len(proposed),
                    source="confirm",
                    stage=candidate.stage,
                    params=candidate.params,
                    config=config.model_dump(mode="json"),
                    hash=fingerprint,
                    size=candidate.size,
                )
            )
    return tuple(proposed)


def candidates(record: StudyRecord) -> list[TrialRecord]:
    """The `confirm.top` best trials of the search, best first."""
    return record.ranked[: record.config.confirm.top]


def confirmation(record: StudyRecord) -> Confirmation | None:
    """What the retrained trials say; None before any candidate was retrained with every seed."""
    found = candidates(record)
    values = {trial.number: _values_by_seed(record, trial) for trial in found}
    wanted = record.config.confirm.seeds
    complete = [trial for trial in found if len(values[trial.number]) >= wanted]
    if not complete:
        return None
    confirmed = [
        Confirmed(trial, values[trial.number], _estimate(record, values[trial.number].values())) for trial in complete
    ]
    sign = -1.0 if record.config.search.mode == "max" else 1.0
    confirmed.sort(key=lambda one: (sign * one.estimate.mean, one.trial.size.get("parameters", 0), one.trial.number))
    unreliable = tuple(trial for trial in found if trial not in complete)
    return Confirmation((confirmed[0], *_compared(confirmed[0], confirmed[1:], -sign)), unreliable)


def recommended(record: StudyRecord) -> TrialRecord | None:
    """The trial of the search that is the champion: what a person picked, else the best confirmed, else the best.

    None before a trial has a result.
    """
    if record.picked is not None:
        return next(trial for trial in record.trials if trial.number == record.picked.number)
    confirmed = confirmation(record)
    if confirmed is not None:
        return confirmed.champion.trial
    return next(iter(record.ranked), None)


def _estimate(record: StudyRecord, values: Iterable[float]) -> Estimate:
    """Mean and interval; that of an accuracy ends at 1, that of anything at 0."""
    estimate = mean_interval(list(values))
    greatest = 1.0 if record.config.search.objective == "val_accuracy" else math.inf
    return Estimate(estimate.mean, max(0.0, estimate.low), min(greatest, estimate.high))


def _compared(champion: Confirmed, others: Sequence[Confirmed], sign: float) -> list[Confirmed]:
    """The others with their distance to the champion."""
    # Bonferroni: each of several comparisons has to be surer for all of them to be right together.
    confidence = 1.0 - (1.0 - CONFIDENCE) / max(1, len(others))
    compared = []
    for other in others:
        seeds = sorted(champion.values.keys() & other.values.keys())
        lead = [sign * (champion.values[seed] - other.values[seed]) for seed in seeds]
        behind = mean_interval(lead, confidence) if len(seeds) >= 2 else None
        compared.append(Confirmed(other.trial, other.values, other.estimate, behind))
    return compared


def _values_by_seed(record: StudyRecord, candidate: TrialRecord) -> dict[int, float]:
    search, own = record.config.search, _with_seed(candidate.config, 0)
    return {
        trial.config.training.seed: best[search.objective]
        for trial in record.trials
        if trial.source == "confirm" and trial.state == "completed" and _with_seed(trial.config, 0) == own
        if (best := trial.best_metrics(search.ranking)) is not None
    }


def _fresh_seeds(record: StudyRecord) -> tuple[int, ...]:
    """Seeds that no trial of the search has used, the same whenever they are asked for."""
    used = {trial.config.training.seed for trial in record.trials if trial.source != "confirm"}
    start = max(used, default=record.config.training.seed) + 1
    unused = (seed for seed in chain(range(start, MAX_SEED + 1), range(start)) if seed not in used)
    return tuple(islice(unused, record.config.confirm.seeds))


def _with_seed(config: TrialConfig, seed: int) -> TrialConfig:
    return config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})

"""Translates journal events to MLflow run updates. Pure: the same events always give the same updates."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import yaml

from search_spaces.schema import StudyConfig
from trainables.config.canonical import canonical_json
from tuning.storage.journal import (
    ChampionLogged,
    ChampionPicked,
    EpochEnded,
    Event,
    JournalRepaired,
    StudyEnded,
    StudyOpened,
    TestOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
    TrialState,
)
from tuning.storage.resolved_config import opened_config

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
PARENT = -1
"""Key of the study's own run in dicts by trial number."""

STUDY_TAG, TRIAL_TAG = "tune.study_id", "tune.trial"
_PARENT_RUN_TAG = "mlflow.parentRunId"

_TRIAL_STATUS: dict[TrialState, RunStatus] = {
    "completed": "FINISHED",
    "stopped": "FINISHED",
    "failed": "FAILED",
    "infeasible": "KILLED",
}
_STUDY_STATUS: dict[str, RunStatus] = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_LONGEST_TAG = 5000
"""Characters; MLflow's own limit since its first version."""


class Point(NamedTuple):
    """One metric value."""

    key: str
    value: float
    step: int
    time: float
    """Seconds since 1970: the event's time, not the time of writing, so that writes are idempotent."""


@dataclass
class RunUpdate:
    """What to add to one run; later values replace earlier ones of the same key."""

    name: str = ""
    """Name of a new run; empty if the run exists."""
    started: float = 0.0
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[Point] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    status: RunStatus | None = None
    ended: float | None = None


@dataclass
class _OpenTrial:
    """State of a trial until it finishes."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    """As in `tuning.storage.record`: a repeated epoch replaces the earlier one and all epochs after it."""
    written: dict[tuple[int, str], float] = field(default_factory=dict)
    """Last value written, by (epoch, metric)."""


class Translator:
    """Reads a journal from its first event, in batches of any size."""

    def __init__(self) -> None:
        """Start before the first event."""
        self.name = ""
        self.study_id = ""
        self.documents: dict[str, str] = {}
        """Current artifacts of the study's run: path to text."""
        self._updates: dict[int, RunUpdate] = {}
        self._params: dict[str, str] = {}
        self._study: StudyConfig | None = None
        self._open: dict[int, _OpenTrial] = {}
        self._best: float | None = None
        self._data: Any = None
        """Data section of the latest trial: only trials on the same images are comparable."""
        self._finished = 0
        self._tests = 0

    def translate(self, events: Iterable[Event]) -> dict[int, RunUpdate]:
        """Updates for the next events, by trial number or `PARENT` for the study."""
        self._updates = {}
        for event in events:
            self._read(event)
        return self._updates

    def _read(self, event: Event) -> None:
        match event:
            case StudyOpened():
                self._study_opened(event)
            case TrialProposed():
                self._trial_proposed(event)
            case TrialStarted():
                self._update(event.number).status = "RUNNING"
            case EpochEnded():
                self._epoch_ended(event)
            case TrialFinished():
                self._trial_finished(event)
            case StudyEnded():
                self._study_ended(event)
            case ChampionPicked():
                self._update(PARENT).tags |= {
                    "champion.picked": str(event.number),
                    "champion.reason": event.reason[:_LONGEST_TAG],
                }
            case ChampionLogged():
                self._update(PARENT).tags |= {
                    "champion.trial": str(event.number),
                    "champion.model_uri": event.model_uri,
                }
                self._update(event.number).tags["model_uri"] = event.model_uri
            case TestOpened():
                self._test_opened(event)
            case JournalRepaired():
                said = event.model_dump_json(exclude={"event", "next_number"})
                self._update(PARENT).tags["journal.repaired"] = said[:_LONGEST_TAG]

    def _update(self, number: int) -> RunUpdate:
        return self._updates.setdefault(number, RunUpdate())

    def _study_opened(self, event: StudyOpened) -> None:
        update = self._update(PARENT)
        params = flatten(event.study)
        if not self.study_id:
            self._study_begins(event, params)
            update.name, update.started, update.params = self.name, event.time, params
        update.status = "RUNNING"
        # MLflow's parameters cannot change; later changes (more trials, more time) become tags.
        changed = {key: value for key, value in params.items() if self._params.get(key) != value}
        update.tags |= {f"changed.{key}": value for key, value in changed.items()}
        update.tags |= {
            STUDY_TAG: self.study_id,
            "tune.version": event.version,
            "data.fingerprint": event.data_fingerprint,
            "state": "running",
        }
        self.documents["study.yaml"] = yaml.safe_dump(event.study, sort_keys=False, allow_unicode=True)

    def _study_begins(self, event: StudyOpened, params: dict[str, str]) -> None:
        self._study = opened_config(event)
        self._params = params
        self.name = self._study.name
        # The same for every reader of this journal, different for another study of the same name.
        self.study_id = hashlib.sha256(event.model_dump_json().encode()).hexdigest()[:16]

    def _trial_proposed(self, event: TrialProposed) -> None:
        update = self._update(event.number)
        update.name = f"{self.name}-{event.number:04d}"
        update.started = event.time
        update.params |= {path: _text(value) for path, value in event.params.items()}
        update.params.setdefault("training.seed", _text(event.config.get("training", {}).get("seed", 0)))
        update.metrics += [Point(f"size.{key}", value, 0, event.time) for key, value in event.size.items()]
        update.tags |= {
            STUDY_TAG: self.study_id,
            TRIAL_TAG: str(event.number),
            "state": "proposed",
            "source": event.source,
            "config_hash": event.hash,
        }
        if self._study is not None and self._study.search.stages:
            update.tags["stage"] = str(event.stage)
        if event.config.get("data") != self._data:  # a stage on other images: accuracies are not comparable
            self._data, self._best = event.config.get("data"), None
        self._open[event.number] = _OpenTrial()

    def _epoch_ended(self, event: EpochEnded) -> None:
        trial = self._open.setdefault(event.number, _OpenTrial())
        trial.epochs[event.epoch - 1 :] = [dict(event.metrics)]
        update = self._update(event.number)
        update.tags |= _worker_tags(event)
        for key, value in event.metrics.items():
            # A trial resumed from a checkpoint repeats epochs; equal values are written once.
            if trial.written.get((event.epoch, key)) != value:
                trial.written[event.epoch, key] = value
                update.metrics.append(Point(key, value, event.epoch, event.time))

    def _trial_finished(self, event: TrialFinished) -> None:
        trial = self._open.pop(event.number, _OpenTrial())
        update = self._update(event.number)
        update.status, update.ended = _TRIAL_STATUS[event.state], event.time
        update.tags |= {"state": event.state, "reason": event.reason[:_LONGEST_TAG]} | _worker_tags(event)
        update.metrics.append(Point("duration_s", event.duration_s, 0, event.time))
        best = self._best_epoch(trial.epochs)
        if best is not None:
            epoch, value = best
            update.metrics.append(Point(f"best_{self._objective}", value, epoch, event.time))
            if event.state in ("completed", "stopped"):
                self._best = value if self._best is None else self._better(value, self._best)
        self._finished += 1
        if self._best is not None:
            point = Point(f"best_{self._objective}", self._best, self._finished, event.time)
            self._update(PARENT).metrics.append(point)

    def _study_ended(self, event: StudyEnded) -> None:
        update = self._update(PARENT)
        update.status, update.ended = _STUDY_STATUS[event.state], event.time
        update.tags |= {"state": event.state, "reason": event.reason[:_LONGEST_TAG]}
        for number in self._open:
            unfinished = self._update(number)
            unfinished.status, unfinished.ended = "KILLED", event.time

    def _test_opened(self, event: TestOpened) -> None:
        self._tests += 1
        points = [
            Point(f"test_{key}", float(event.report[key]), self._tests, event.time)
            for key in ("accuracy", "n")
            if key in event.report
        ]
        for number in (PARENT, event.number):
            self._update(number).metrics += points
            self._update(number).tags["test.openings"] = str(self._tests)
        self.documents[f"test_{self._tests}.json"] = json.dumps({"trial": event.number} | event.report, indent=1)

    @property
    def _objective(self) -> str:
        assert self._study is not None, "a journal begins with study_opened"
        return self._study.search.objective

    def _better(self, first: float, second: float) -> float:
        assert self._study is not None, "a journal begins with study_opened"
        return max(first, second) if self._study.search.mode == "max" else min(first, second)

    def _best_epoch(self, epochs: list[dict[str, float]]) -> tuple[int, float] | None:
        """Epoch, counted from 1, and value."""
        assert self._study is not None, "a journal begins with study_opened"
        epoch = self._study.search.ranking.best_epoch(epochs)
        return None if epoch is None else (epoch, epochs[epoch - 1][self._objective])


def _worker_tags(event: EpochEnded | TrialFinished) -> dict[str, str]:
    """Tags for where the trial ran, from events that have it."""
    return (
        {"node": event.host} | {f"version.{name}": text for name, text in event.versions.items()} if event.host else {}
    )


def child_tags(parent_run_id: str) -> dict[str, str]:
    """Tags that put a run under its parent in MLflow's UI."""
    return {_PARENT_RUN_TAG: parent_run_id}


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `section.field` to text, the form of MLflow's parameters."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical_json(value)

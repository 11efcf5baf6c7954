"""The state of a study, built once from its journal and then kept up to date event by event."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from trainables.errors import InputError
from tuning.storage.journal import (
    FINISHED,
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
    read_events,
)
from tuning.storage.journal_lines import Position, damaged
from tuning.storage.record import StudyRecord, TrialRecord
from tuning.storage.resolved_config import opened_config


class ContradictionError(InputError):
    """An event that cannot follow those before it."""


@dataclass
class _Trial:
    """A trial under way: its record without epochs, and the epochs in a list that grows."""

    record: TrialRecord
    epochs: list[dict[str, float]] = field(default_factory=list)

    def up_to_date(self) -> TrialRecord:
        """The whole record; made only where the trial has changed."""
        if len(self.record.epochs) != len(self.epochs) or (self.epochs and self.record.epochs[-1] != self.epochs[-1]):
            self.record = replace(self.record, epochs=tuple(self.epochs))
        return self.record


class StudyState:
    """What the events so far say. The cost of an event does not grow with the study."""

    def __init__(self) -> None:
        self._opened: StudyOpened | None = None
        self._config: StudyConfig | None = None
        self._opened_at: list[float] = []
        self._trials: dict[int, _Trial] = {}
        self._state: Literal["running", "finished", "interrupted", "failed"] = "running"
        self._reason = ""
        self._picked: ChampionPicked | None = None
        self._champion: ChampionLogged | None = None
        self._tests: list[TestOpened] = []
        self._repairs: list[JournalRepaired] = []
        self._seconds = 0.0
        """Of earlier drivers."""
        self._last_search_event = 0.0

    def apply(self, event: Event) -> None:
        """Take one event in.

        Raises:
            ContradictionError: it cannot follow those before it; nothing was changed.
        """
        if self._opened is None and not isinstance(event, StudyOpened):
            raise ContradictionError("a journal begins with study_opened")
        match event:
            case StudyOpened():
                self._study_opened(event)
            case TrialProposed():
                self._trial_proposed(event)
            case TrialStarted():
                trial = self._trial(event.number)
                started = trial.record.started_at or event.time
                trial.record = replace(trial.record, state="running", started_at=started)
            case EpochEnded():
                self._epoch_ended(event)
            case TrialFinished():
                trial = self._trial(event.number)
                _note_worker(trial, event)
                trial.record = replace(
                    trial.record, state=event.state, reason=event.reason, duration_s=event.duration_s
                )
            case StudyEnded():
                self._state, self._reason = event.state, event.reason
            case ChampionPicked():
                self._trial(event.number)
                self._picked = event
            case ChampionLogged():
                self._trial(event.number)
                self._champion = event
            case TestOpened():
                self._trial(event.number)
                self._tests.append(event)
            case JournalRepaired():
                self._repairs.append(event)
        if not isinstance(event, ChampionPicked | ChampionLogged | TestOpened | JournalRepaired):
            self._last_search_event = event.time

    def record(self) -> StudyRecord:
        """The study as of now. Trials that have not changed since the last call are the same objects.

        Raises:
            ContradictionError: there was no event yet.
        """
        if self._opened is None or self._config is None:
            raise ContradictionError("a journal begins with study_opened; this one holds no event")
        return StudyRecord(
            config=self._config,
            data_fingerprint=self._opened.data_fingerprint,
            state=self._state,
            reason=self._reason,
            opened_at=tuple(self._opened_at),
            trials=tuple(self._trials[number].up_to_date() for number in sorted(self._trials)),
            picked=self._picked,
            champion_model=self._champion,
            tests=tuple(self._tests),
            search_seconds=self._seconds + self._last_search_event - self._opened_at[-1],
            version=self._opened.version,
            repairs=tuple(self._repairs),
        )

    def unfinished(self) -> dict[int, int]:
        """Number and epochs of each trial that is not over."""
        return {
            number: len(trial.epochs) for number, trial in self._trials.items() if trial.record.state not in FINISHED
        }

    def _study_opened(self, event: StudyOpened) -> None:
        if self._opened_at:
            self._seconds += self._last_search_event - self._opened_at[-1]
        self._config = opened_config(event)
        self._opened = event
        self._opened_at.append(event.time)
        self._state, self._reason = "running", ""

    def _trial_proposed(self, event: TrialProposed) -> None:
        if event.number in self._trials:
            raise ContradictionError(f"trial {event.number} is proposed a second time")
        self._trials[event.number] = _Trial(
            TrialRecord(
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
        )

    def _epoch_ended(self, event: EpochEnded) -> None:
        trial = self._trial(event.number)
        known = len(trial.epochs)
        if event.epoch > known + 1:
            raise ContradictionError(f"epoch {event.epoch} of trial {event.number} follows epoch {known}")
        _note_worker(trial, event)
        trial.epochs[event.epoch - 1 :] = [event.metrics]

    def _trial(self, number: int) -> _Trial:
        try:
            return self._trials[number]
        except KeyError:
            raise ContradictionError(f"trial {number} was never proposed") from None


def _note_worker(trial: _Trial, event: EpochEnded | TrialFinished) -> None:
    if event.host:
        trial.record = replace(trial.record, host=event.host, versions=event.versions)


def read_state(journal: Path) -> tuple[StudyState, Position]:
    """The state after all events of a journal, and where it ends.

    Raises:
        JournalError: the journal is damaged; with the line and what would help.
    """
    state, position = StudyState(), Position()
    for event, end in read_events(journal):
        try:
            state.apply(event)
        except ContradictionError as error:
            raise damaged(journal, end.lines - 1, str(error)) from error
        position = end
    return state, position


def read_record(journal: Path) -> StudyRecord:
    """The study of a journal.

    Raises:
        InputError: the journal is damaged, or holds no event.
    """
    return read_state(journal)[0].record()


def fold(events: Iterable[Event]) -> StudyRecord:
    """The study after these events.

    Raises:
        ContradictionError: they cannot follow one another.
    """
    state = StudyState()
    for event in events:
        state.apply(event)
    return state.record()

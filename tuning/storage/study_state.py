"""The state of a study, kept up to date event by event: the cost of an event does not grow with the study."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

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
    TrialState,
    problem_with,
    read_events,
)
from tuning.storage.journal_lines import JournalError, Position, damaged
from tuning.storage.record import StudyRecord, TrialRecord
from tuning.storage.resolved_config import opened_config
from tuning.storage.versions import PROGRAM_VERSION

StudyStatus = Literal["running", "finished", "interrupted", "failed"]


class ContradictionError(ValueError):
    """An event that cannot follow those before it."""


class ForeignStudyError(ValueError):
    """A study that a version of this program with other settings wrote."""


class StudyState:
    """Takes events in and tells what they come to. Refuses an event that contradicts those before it."""

    def __init__(self) -> None:
        self._config: StudyConfig | None = None
        self._opened: list[StudyOpened] = []
        self._status: StudyStatus = "running"
        self._reason = ""
        self._trials: dict[int, _Trial] = {}
        self._picked: ChampionPicked | None = None
        self._champion_model: ChampionLogged | None = None
        self._tests: list[TestOpened] = []
        self._repairs: list[JournalRepaired] = []
        self._search_seconds = 0.0
        self._last_search_event: float | None = None
        self.unchecked_lines = 0
        """Lines of the journal that have no checksum."""
        self._record: StudyRecord | None = None

    def apply(self, event: Event) -> None:
        """Take one event in.

        Raises:
            ContradictionError: it cannot follow those before it; nothing has changed.
            ForeignStudyError: another version of this program wrote it.
        """
        if self._config is None and not isinstance(event, StudyOpened):
            raise ContradictionError(f"{event.event} before study_opened, with which a journal begins")
        match event:
            case StudyOpened():
                self._study_opened(event)
            case TrialProposed():
                self._trial_proposed(event)
            case TrialStarted() | EpochEnded() | TrialFinished():
                self._trial(event).apply(event)
            case StudyEnded():
                self._status, self._reason = event.state, event.reason
            case ChampionPicked():
                self._trial(event)
                self._picked = event
            case ChampionLogged():
                self._trial(event)
                self._champion_model = event
            case TestOpened():
                self._trial(event)
                self._tests.append(event)
            case JournalRepaired():
                self._repairs.append(event)
        self._count_time(event)
        self._record = None

    @property
    def has_begun(self) -> bool:
        """Whether there was any event."""
        return self._config is not None

    def record(self) -> StudyRecord:
        """The study as it stands.

        Raises:
            InputError: no event was taken in.
        """
        if self._config is None:
            raise InputError("the study has not begun: its journal holds no event")
        if self._record is None:
            self._record = StudyRecord(
                config=self._config,
                data_fingerprint=self._opened[-1].data_fingerprint,
                state=self._status,
                reason=self._reason,
                opened_at=tuple(event.time for event in self._opened),
                trials=tuple(self._trials[number].record() for number in sorted(self._trials)),
                picked=self._picked,
                champion_model=self._champion_model,
                tests=tuple(self._tests),
                search_seconds=self._search_seconds,
                version=self._opened[-1].version,
                repairs=tuple(self._repairs),
                unchecked_lines=self.unchecked_lines,
            )
        return self._record

    def _study_opened(self, event: StudyOpened) -> None:
        try:
            config = opened_config(event)
        except ValidationError as error:
            raise ForeignStudyError(
                f"the study was written by version {event.version} of this program; this is {PROGRAM_VERSION}, which "
                f"does not understand {problem_with(error)}. Use the version that began the study"
            ) from error
        self._config = config
        self._opened.append(event)
        self._status, self._reason = "running", ""

    def _trial_proposed(self, event: TrialProposed) -> None:
        if event.number in self._trials:
            raise ContradictionError(f"trial {event.number} is proposed, which was proposed before")
        try:
            config = TrialConfig.model_validate(event.config)
        except ValidationError as error:
            raise ContradictionError(
                f"the configuration of trial {event.number} is not understood, {problem_with(error)}"
            ) from error
        self._trials[event.number] = _Trial(event, config)

    def _trial(
        self, event: TrialStarted | EpochEnded | TrialFinished | ChampionPicked | ChampionLogged | TestOpened
    ) -> "_Trial":
        trial = self._trials.get(event.number)
        if trial is None:
            raise ContradictionError(f"{event.event} of trial {event.number}, which was never proposed")
        return trial

    def _count_time(self, event: Event) -> None:
        """Add up, over drivers, the time from opening to the last event of the search, however it ended."""
        if isinstance(event, ChampionPicked | ChampionLogged | TestOpened | JournalRepaired):
            return
        if self._last_search_event is not None and not isinstance(event, StudyOpened):
            self._search_seconds += event.time - self._last_search_event
        self._last_search_event = event.time


@dataclass
class _Trial:
    """One trial as it grows."""

    proposed: TrialProposed
    config: TrialConfig
    state: TrialState = "proposed"
    started_at: float | None = None
    epochs: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""
    duration_s: float = 0.0
    host: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    _view: TrialRecord | None = None

    def apply(self, event: TrialStarted | EpochEnded | TrialFinished) -> None:
        """Take one of its events in."""
        if self.state in FINISHED:
            raise ContradictionError(f"{event.event} of trial {event.number}, which was {self.state} before")
        match event:
            case TrialStarted():
                self.state, self.started_at = "running", self.started_at or event.time
            case EpochEnded():
                self._epoch_ended(event)
            case TrialFinished():
                self.state, self.reason, self.duration_s = event.state, event.reason, event.duration_s
        if not isinstance(event, TrialStarted) and event.host:
            self.host, self.versions = event.host, event.versions
        self._view = None

    def _epoch_ended(self, event: EpochEnded) -> None:
        if event.epoch > len(self.epochs) + 1:
            raise ContradictionError(
                f"epoch {event.epoch} of trial {event.number} follows epoch {len(self.epochs)}: epochs are missing"
            )
        self.epochs[event.epoch - 1 :] = [event.metrics]

    def record(self) -> TrialRecord:
        """The trial as it stands."""
        if self._view is None:
            self._view = TrialRecord(
                number=self.proposed.number,
                source=self.proposed.source,
                params=self.proposed.params,
                config=self.config,
                hash=self.proposed.hash,
                size=self.proposed.size,
                state=self.state,
                proposed_at=self.proposed.time,
                started_at=self.started_at,
                epochs=tuple(self.epochs),
                reason=self.reason,
                duration_s=self.duration_s,
                stage=self.proposed.stage,
                host=self.host,
                versions=self.versions,
            )
        return self._view


def fold(events: Iterable[Event]) -> StudyRecord:
    """The study after these events."""
    state = StudyState()
    for event in events:
        state.apply(event)
    return state.record()


def read_state(journal: Path) -> tuple[StudyState, Position]:
    """The study of a journal file and the position after its last event.

    Raises:
        JournalError: a line is damaged or contradicts those before it, or another version wrote it.
    """
    state, position = StudyState(), Position()
    for event, position in read_events(journal):
        try:
            state.apply(event)
        except ContradictionError as error:
            raise damaged(journal, position.lines - 1, str(error)) from error
        except ForeignStudyError as error:
            raise JournalError(f"{journal}:{position.lines}: {error}") from error
    state.unchecked_lines = position.unchecked
    return state, position


def read_record(journal: Path) -> StudyRecord:
    """The study of a journal file.

    Raises:
        JournalError: as `read_state`.
        InputError: the journal holds no event.
    """
    state, _ = read_state(journal)
    if not state.has_begun:
        raise InputError(f"study {journal.parent.name!r} has not begun: its journal {journal} holds no event")
    return state.record()

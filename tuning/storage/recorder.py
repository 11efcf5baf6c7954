"""The driver's hand on the journal: every event goes there first, then into the study's state, then to the observer."""

from typing import NoReturn, Self

from trainables.errors import RecordError, StudyFailedError
from tuning.storage.journal import EpochEnded, Event, Journal
from tuning.storage.journal_lines import Position
from tuning.storage.observer import Observer
from tuning.storage.paths import StudyFolder
from tuning.storage.record import StudyRecord
from tuning.storage.study_state import StudyState, read_state
from tuning.storage.write_errors import writing


class Recorder:
    """Writes a study's events until that fails; anything written after a failure would leave a hole in the record.

    Ray Tune swallows or wraps what its callbacks raise, so a failure is kept for whoever runs the trials to raise.
    """

    def __init__(self, folder: StudyFolder, observer: Observer) -> None:
        """Read what the journal holds, if there is one.

        Raises:
            JournalError: it is damaged.
            RecordError: it cannot be written.
        """
        self._folder = folder
        self._observer = observer
        self.failure: StudyFailedError | None = None
        """The first; nothing is written after it."""
        with writing(folder):
            self._state, position = (
                read_state(folder.journal) if folder.journal.exists() else (StudyState(), Position())
            )
            self._journal = Journal(folder.journal, position)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._journal.close()

    def record(self, *events: Event) -> None:
        """Write the events down, all on disk on return, and tell the observer.

        Raises:
            StudyFailedError: the first failure, now or before; the journal is as it was before that.
        """
        if self.failure is None:
            for event in events:
                self._state.apply(event)  # first: what contradicts the record must never be in the journal
            try:
                with writing(self._folder):
                    self._journal.append(*events)
            except RecordError as error:
                self.failure = error
        if self.failure is not None:
            raise self.failure
        for event in events:
            self._observer.event(event)
            if isinstance(event, EpochEnded) and event.warning:
                self._observer.warning(f"trial {event.number}, epoch {event.epoch}: {event.warning}")

    def give_up(self, failure: StudyFailedError) -> NoReturn:
        """Write no more.

        Raises:
            StudyFailedError: the first failure.
        """
        self.failure = self.failure or failure
        raise self.failure

    def raise_failure(self) -> None:
        """Raise the failure, if there was one. Unless the files cannot be written, events can be written again then.

        Raises:
            StudyFailedError: the first failure.
        """
        failure = self.failure
        if not isinstance(failure, RecordError):
            self.failure = None
        if failure is not None:
            raise failure

    def study(self) -> StudyRecord:
        """The study as of now."""
        return self._state.record()

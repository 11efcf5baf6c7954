"""The driver's pen: every event goes to the journal first, then to whoever watches."""

from collections.abc import Callable
from typing import NoReturn, Self

from trainables.errors import RecordError, StudyFailedError
from tuning.storage.journal import EpochEnded, Event, Journal
from tuning.storage.observer import Observer
from tuning.storage.paths import StudyFolder
from tuning.storage.record import StudyRecord, read_record
from tuning.storage.write_errors import writing


class Recorder:
    """Writes a study's events. Keeps none of them: the journal is the memory."""

    def __init__(self, folder: StudyFolder, observer: Observer) -> None:
        self._folder = folder
        with writing(folder):
            self._journal = Journal(folder.journal)
        self._observer = observer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._journal.close()

    def record(self, *events: Event) -> None:
        """Write the events down, all on disk on return, and tell the observer.

        Raises:
            RecordError: they cannot be written; the journal is as it was before.
        """
        with writing(self._folder):
            self._journal.append(*events)
        for event in events:
            self._observer.event(event)
            if isinstance(event, EpochEnded) and event.warning:
                self._observer.warning(f"trial {event.number}, epoch {event.epoch}: {event.warning}")

    def study(self) -> StudyRecord:
        """The study as the journal tells it now."""
        return read_record(self._journal.path)


class Pen:
    """Writes events down until that fails; anything written after a failure would leave a hole in the record.

    Ray Tune swallows or wraps what its callbacks raise, so the failure is kept for `Workers.run` to raise.
    """

    def __init__(self, record: Callable[..., None]) -> None:
        self._record = record
        self.failure: StudyFailedError | None = None

    def write(self, *events: Event) -> None:
        """Write the events down, or raise what the first failure was."""
        if self.failure is None:
            try:
                self._record(*events)
            except RecordError as error:
                self.failure = error
        if self.failure is not None:
            raise self.failure

    def give_up(self, failure: StudyFailedError) -> NoReturn:
        """Write no more."""
        self.failure = self.failure or failure
        raise self.failure

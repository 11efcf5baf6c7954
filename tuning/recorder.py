"""The driver's pen: every event goes to the journal first, then to whoever watches."""

from typing import Self

from tuning.journal import Event, Journal
from tuning.layout import StudyFolder
from tuning.observer import Observer
from tuning.record import StudyRecord, read_record


class Recorder:
    """Writes a study's events. Keeps none of them: the journal is the memory."""

    def __init__(self, folder: StudyFolder, observer: Observer) -> None:
        self._journal = Journal(folder.journal)
        self._observer = observer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._journal.close()

    def record(self, *events: Event) -> None:
        """Write the events down, all on disk on return, and tell the observer."""
        self._journal.append(*events)
        for event in events:
            self._observer.event(event)

    def study(self) -> StudyRecord:
        """The study as the journal tells it now."""
        return read_record(self._journal.path)

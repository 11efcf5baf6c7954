"""How the driver tells whoever watches: the terminal's live table, or nobody."""

from typing import Protocol

from tuning.storage.journal import Event
from tuning.storage.record import StudyRecord


class Observer(Protocol):
    """Watches a study. Calls come from the driver's one thread, warnings from any, and must return quickly."""

    def phase(self, text: str) -> None:
        """Say in a few words what the driver does now, for example `reading images`."""

    def warning(self, text: str) -> None:
        """Say something that a person should know and that does not end the study."""

    def progress(self, text: str, done: int, total: int) -> None:
        """Say how far a long step within a phase has come."""

    def study(self, record: StudyRecord) -> None:
        """Hear of a study that is taken up again, as it stands; its events so far are not told."""

    def event(self, event: Event) -> None:
        """Hear of an event that is already safe in the journal."""


class Silent:
    """Watches nothing."""

    def phase(self, text: str) -> None:
        """Ignore."""

    def warning(self, text: str) -> None:
        """Ignore."""

    def progress(self, text: str, done: int, total: int) -> None:
        """Ignore."""

    def study(self, record: StudyRecord) -> None:
        """Ignore."""

    def event(self, event: Event) -> None:
        """Ignore."""

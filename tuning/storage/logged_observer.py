"""An observer that writes what it is told to the log, too."""

import logging

from trainables.config.canonical import canonical_json
from tuning.storage.journal import (
    ChampionLogged,
    ChampionPicked,
    EpochEnded,
    Event,
    StudyEnded,
    TrialFinished,
    TrialProposed,
    TrialStarted,
)
from tuning.storage.observer import Observer
from tuning.storage.record import StudyRecord

logger = logging.getLogger(__name__)


class LoggedObserver:
    """Passes everything on to another observer. Epochs are in the journal; the log has what happened around them."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._hosts: dict[str, dict[str, str]] = {}
        """Versions that the workers of a host have reported."""

    def phase(self, text: str) -> None:
        """Log and pass on."""
        logger.info("%s", text)
        self._observer.phase(text)

    def warning(self, text: str) -> None:
        """Log and pass on."""
        logger.warning("%s", text)
        self._observer.warning(text)

    def progress(self, text: str, done: int, total: int) -> None:
        """Pass on; too often for a log."""
        self._observer.progress(text, done, total)

    def study(self, record: StudyRecord) -> None:
        """Pass on."""
        self._observer.study(record)

    def event(self, event: Event) -> None:
        """Log and pass on."""
        if isinstance(event, EpochEnded | TrialFinished) and event.host:
            self._note_worker(event.number, event.host, event.versions)
        line = _line(event)
        if line:
            logger.info("%s", line)
        self._observer.event(event)

    def _note_worker(self, number: int, host: str, versions: dict[str, str]) -> None:
        logger.info("trial %d runs on %s", number, host)
        if self._hosts.get(host) != versions:
            self._hosts[host] = versions
            logger.info("workers on %s: %s", host, ", ".join(f"{name} {text}" for name, text in versions.items()))


def _line(event: Event) -> str:
    match event:
        case TrialProposed():
            return f"trial {event.number} proposed ({event.source}): {canonical_json(event.params)}"
        case TrialStarted():
            return f"trial {event.number} was taken up by a worker"
        case TrialFinished():
            return f"trial {event.number} {event.state}" + (f": {event.reason}" if event.reason else "")
        case StudyEnded():
            return f"study {event.state}: {event.reason}"
        case ChampionPicked():
            return f"trial {event.number} picked as champion: {event.reason}"
        case ChampionLogged():
            return f"champion: trial {event.number}, registered as {event.model_uri}"
    return ""

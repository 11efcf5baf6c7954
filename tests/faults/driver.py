"""The driver's side of a study without Ray."""

from typing import Any

from search_spaces.schema import StudyConfig
from tuning.storage.journal import Event, StudyOpened
from tuning.storage.observer import Silent
from tuning.storage.paths import StudyFolder
from tuning.storage.recorder import Recorder


class Listener(Silent):
    """Keeps the events it hears of."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def event(self, event: Event) -> None:
        self.events.append(event)


def opened_recorder(folder: StudyFolder, study: StudyConfig, observer: Listener) -> Recorder:
    """A recorder of a study that has just begun; the observer has heard nothing yet."""
    recorder = Recorder(folder, observer)
    content = study.model_dump(mode="json", exclude_unset=True)
    recorder.record(StudyOpened(version="0", study=content, data_fingerprint="f", host="h", pid=1))
    observer.events.clear()
    return recorder

"""Open the study that a command names."""

from dataclasses import dataclass
from pathlib import Path

from tuning.storage.catalog import find_study
from tuning.storage.lock import LockOwner, lock_owner
from tuning.storage.paths import StudyFolder
from tuning.storage.record import StudyRecord
from tuning.storage.study_state import read_record


@dataclass(frozen=True)
class OpenedStudy:
    """A study as its journal and its lock tell it at this moment."""

    folder: StudyFolder
    record: StudyRecord
    driver: LockOwner | None
    """The driver that works on it or did last."""

    @property
    def driver_died(self) -> bool:
        """The journal says `running`, but nobody is there."""
        return self.record.state == "running" and not (self.driver and self.driver.alive)


def open_study(storage: Path, name: str) -> OpenedStudy:
    """Read a study.

    Raises:
        InputError: there is no such study, its journal is damaged, or its first driver has written nothing yet.
    """
    folder = find_study(storage, name)
    driver = lock_owner(folder)
    return OpenedStudy(folder, read_record(folder.journal), driver)

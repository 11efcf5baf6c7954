"""Open the study that a command names."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from cli.packages import DISTRIBUTION
from trainables.errors import InputError
from tuning.storage.catalog import find_study
from tuning.storage.journal import Event, StudyOpened, read_events
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
        InputError: there is no such study, its journal is unreadable, or its first driver has written nothing yet.
    """
    folder = find_study(storage, name)
    driver = lock_owner(folder)
    first = next(read_events(folder.journal), None)
    if first is None:
        raise InputError(f"study {name!r} has not begun yet: its journal {folder.journal} holds no event")
    try:
        return OpenedStudy(folder, read_record(folder.journal), driver)
    except ValidationError as error:
        raise InputError(_not_understood(folder, first[0], error)) from error


def _not_understood(folder: StudyFolder, first: Event, error: ValidationError) -> str:
    by = f"version {first.version}" if isinstance(first, StudyOpened) else "another version"
    detail = error.errors(include_url=False)[0]
    where = ".".join(map(str, detail["loc"]))
    return (
        f"{folder.journal} was written by {by} of this program; this is {version(DISTRIBUTION)}, which does "
        f"not understand {where}: {detail['msg']}. Use the version that began the study"
    )

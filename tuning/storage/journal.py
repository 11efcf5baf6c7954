"""The study's own durable record: one JSON object a line, appended and synced the moment something is known.

Everything else (results, the searcher's knowledge, the scheduler's rungs, MLflow) is derived from it and can be built
again. A line is an event; a line that a crash cut short is dropped when the journal is next opened for writing.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from trainables.config.base import Config
from trainables.errors import InputError
from trainables.permissions import make_folder
from tuning.storage.own_files import open_to_append

TrialState = Literal["proposed", "running", "completed", "stopped", "failed", "infeasible"]
"""`completed`: reached its last epoch. `stopped`: ended early by the scheduler or the budget. `infeasible`: cannot be
built or does not fit in memory."""

FINISHED: frozenset[TrialState] = frozenset({"completed", "stopped", "failed", "infeasible"})


class _Event(Config):
    time: float = Field(default_factory=time.time)
    """Seconds since 1970, UTC."""


class StudyOpened(_Event):
    """A driver began or resumed work."""

    event: Literal["study_opened"] = "study_opened"
    version: str
    study: dict[str, Any]
    """The study file as checked, every default filled in."""
    data_fingerprint: str
    host: str
    pid: int


class TrialProposed(_Event):
    """The searcher chose a configuration."""

    event: Literal["trial_proposed"] = "trial_proposed"
    number: int
    source: Literal["search", "first", "confirm"] = "search"
    stage: int = 0
    """Round of a staged search, counted from 0."""
    params: dict[str, Any]
    """Active parameters of the space: path to value; of a staged search those that its round does not vary, too."""
    config: dict[str, Any]
    """The whole `TrialConfig`."""
    hash: str
    """`TrialConfig.canonical_hash`."""
    size: dict[str, int] = Field(default_factory=dict)
    """`parameters`, `macs`, `activation_bytes` of the model, for one image."""


class TrialStarted(_Event):
    """A worker took the trial up, for the first time or again after a fault."""

    event: Literal["trial_started"] = "trial_started"
    number: int


class _OnWorker(_Event):
    """What a worker reported. Which one it was stands in the first such event after it took the trial up."""

    host: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python and the libraries there; so far always the driver's, for others are refused."""


class EpochEnded(_OnWorker):
    """One epoch's metrics; the same epoch comes twice where a trial was continued from an earlier checkpoint."""

    event: Literal["epoch_ended"] = "epoch_ended"
    number: int
    epoch: int
    """Counted from 1."""
    metrics: dict[str, float]
    warning: str = ""
    """What went wrong beside the training, for example a checkpoint that could not be written."""


class TrialFinished(_OnWorker):
    """The trial will not be trained again."""

    event: Literal["trial_finished"] = "trial_finished"
    number: int
    state: TrialState
    reason: str = ""
    """Why it was stopped, failed or infeasible, in words."""
    duration_s: float = 0.0
    """Time on workers."""


class StudyEnded(_Event):
    """A driver stopped working on the study, on purpose."""

    event: Literal["study_ended"] = "study_ended"
    state: Literal["finished", "interrupted", "failed"]
    reason: str


class ChampionPicked(_Event):
    """A person chose the champion; it stays so, whatever later trials reach, until another is picked."""

    event: Literal["champion_picked"] = "champion_picked"
    number: int
    reason: str
    """What was asked of it, in words."""


class ChampionLogged(_Event):
    """The champion's model is in the registry."""

    event: Literal["champion_logged"] = "champion_logged"
    number: int
    model_uri: str


class TestOpened(_Event):
    """The sealed test split was used."""

    event: Literal["test_opened"] = "test_opened"
    number: int
    report: dict[str, Any]


Event = Annotated[
    StudyOpened
    | TrialProposed
    | TrialStarted
    | EpochEnded
    | TrialFinished
    | StudyEnded
    | ChampionPicked
    | ChampionLogged
    | TestOpened,
    Field(discriminator="event"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class Journal:
    """Append-only file of events. One writer at a time (`tuning.storage.lock`), any number of readers."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending, cutting off what a crash left of a last line."""
        self.path = path
        make_folder(path.parent)
        # Unbuffered: a buffer would keep what a full disk refused and write it later.
        self._file = open_to_append(path)
        self._size = _complete_bytes(path)
        if self._size < path.stat().st_size:
            self._file.truncate(self._size)

    def append(self, *events: Event) -> None:
        """Write the events and return once they are on disk.

        Raises:
            OSError: the disk did not take them all, so none of them is in the journal.
        """
        lines = "".join(event.model_dump_json() + "\n" for event in events).encode()
        try:
            _write_whole(self._file, lines)
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to tell; the next opening cuts, too
                self._file.truncate(self._size)
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        self._file.close()


def read_events(path: Path, start: int = 0) -> Iterator[tuple[Event, int]]:
    """Yield each complete event from byte `start` on with the byte where the next one begins.

    Raises:
        InputError: a line that is no event; the message names the file, line and what would help.
    """
    with open(path, "rb") as file:
        file.seek(start)
        offset = start
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield _parse(line, path, offset), offset


def _parse(line: bytes, path: Path, offset: int) -> Event:
    try:
        return _EVENT.validate_json(line)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]["msg"]
        raise InputError(
            f"{path}: the line that ends at byte {offset} is no event of this version ({detail}). "
            "Written by a newer version of this program, or damaged? Update the program, or take the line out."
        ) from error


def _write_whole(file: RawIOBase, content: bytes) -> None:
    """A disk that fills up takes a part of what it is given, and refuses the rest only when asked again."""
    written = 0
    while written < len(content):
        written += file.write(content[written:]) or 0


def _complete_bytes(path: Path) -> int:
    """Bytes up to and including the last newline."""
    content = path.read_bytes()
    return content.rfind(b"\n") + 1


def canonical_json(value: object) -> str:
    """One spelling for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))

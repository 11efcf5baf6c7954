"""The study's own durable record: one JSON object a line, appended and synced the moment something is known.

Everything else (results, the searcher's knowledge, the scheduler's rungs, MLflow) is derived from it and can be built
again. A line is an event (`tuning.storage.journal_lines` says how it is written); a line that a crash cut short is
dropped when the journal is next opened for writing.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from trainables.config.base import Config
from trainables.permissions import make_folder
from trainables.safe_files import sync_folder
from tuning.storage.journal_lines import FORMAT, JournalError, Position, damaged, header, numbered, read_lines
from tuning.storage.own_files import open_to_append

TrialState = Literal["proposed", "running", "completed", "stopped", "failed", "infeasible"]
"""`completed`: reached its last epoch. `stopped`: ended early by the scheduler or the budget. `infeasible`: cannot be
built or does not fit in memory."""

FinalState = Literal["completed", "stopped", "failed", "infeasible"]
FINISHED: frozenset[TrialState] = frozenset({"completed", "stopped", "failed", "infeasible"})


Number = Annotated[int, Field(ge=0, lt=2**31)]
"""Of a trial."""
_Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


def _in_range(metrics: dict[str, float]) -> dict[str, float]:
    for name, value in metrics.items():
        if name.endswith("accuracy") and not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} is {value}, which is not in [0, 1]")
        if name.endswith("_seconds") and value < 0.0:
            raise ValueError(f"{name} is {value}, which is negative")
    return metrics


Metrics = Annotated[dict[str, Annotated[float, Field(allow_inf_nan=False)]], AfterValidator(_in_range)]


class _Event(Config):
    time: _Seconds = Field(default_factory=time.time)
    """Seconds since 1970, UTC."""


class StudyOpened(_Event):
    """A driver began or resumed work."""

    event: Literal["study_opened"] = "study_opened"
    version: str
    study: dict[str, Any]
    """The study file as written, without defaults."""
    resolved: dict[str, Any] | None = None
    """The same with every default filled in; None in journals of version 0.1."""
    data_fingerprint: str
    host: str
    pid: int


class TrialProposed(_Event):
    """The searcher chose a configuration."""

    event: Literal["trial_proposed"] = "trial_proposed"
    number: Number
    source: Literal["search", "first", "confirm"] = "search"
    stage: Annotated[int, Field(ge=1)] = 1
    """Stage of a staged search, counted from 1."""
    params: dict[str, Any]
    """Active parameters of the space: path to value; of a staged search those that its stage does not vary, too."""
    config: dict[str, Any]
    """The whole `TrialConfig`."""
    hash: str
    """`TrialConfig.canonical_hash`."""
    size: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """`parameters`, `macs`, `activation_bytes` of the model, for one image."""


class TrialStarted(_Event):
    """A worker took the trial up, for the first time or again after a fault."""

    event: Literal["trial_started"] = "trial_started"
    number: Number


class _OnWorker(_Event):
    """What a worker reported. Which one it was stands in the first such event after it took the trial up."""

    host: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python and the libraries there; so far always the driver's, for others are refused."""


class EpochEnded(_OnWorker):
    """One epoch's metrics; the same epoch comes twice where a trial was continued from an earlier checkpoint."""

    event: Literal["epoch_ended"] = "epoch_ended"
    number: Number
    epoch: Annotated[int, Field(ge=1)]
    """Counted from 1."""
    metrics: Metrics
    warning: str = ""
    """What went wrong beside the training, for example a checkpoint that could not be written."""


class TrialFinished(_OnWorker):
    """The trial will not be trained again."""

    event: Literal["trial_finished"] = "trial_finished"
    number: Number
    state: FinalState
    reason: str = ""
    """Why it was stopped, failed or infeasible, in words."""
    duration_s: _Seconds = 0.0
    """Time on workers."""


class StudyEnded(_Event):
    """A driver stopped working on the study, on purpose."""

    event: Literal["study_ended"] = "study_ended"
    state: Literal["finished", "interrupted", "failed"]
    reason: str


class ChampionPicked(_Event):
    """A person chose the champion; it stays so, whatever later trials reach, until another is picked."""

    event: Literal["champion_picked"] = "champion_picked"
    number: Number
    reason: str
    """What was asked of it, in words."""


class ChampionLogged(_Event):
    """The champion's model is in the registry."""

    event: Literal["champion_logged"] = "champion_logged"
    number: Number
    model_uri: str


class JournalRepaired(_Event):
    """Damaged lines of this journal were taken out (`tuning.storage.repair`)."""

    event: Literal["journal_repaired"] = "journal_repaired"
    dropped: Annotated[int, Field(ge=0)]
    """Lines, with the event in each, that could not be saved."""
    trials: tuple[Number, ...] = ()
    """Trials a part of whose record is among those lines, or may be."""
    lost: tuple[Number, ...] = ()
    """Trials of which nothing is left."""
    next_number: Number = 0
    """Trials that are proposed from now on are numbered from here: no number is used twice, whatever was lost."""
    damaged: str
    """Name of the file, beside the journal, that is the journal as it was."""
    sha256: str
    """Of that file."""


class TestOpened(_Event):
    """The sealed test split was used."""

    __test__ = False  # no test class, whatever pytest thinks of the name

    event: Literal["test_opened"] = "test_opened"
    number: Number
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
    | JournalRepaired
    | TestOpened,
    Field(discriminator="event"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class Journal:
    """Append-only file of events. One writer at a time (`tuning.storage.lock`), any number of readers."""

    def __init__(self, path: Path, position: Position | None = None) -> None:
        """Open `path` for appending, cutting off what a crash left of a last line.

        Args:
            path: of the journal; made if it is not there.
            position: its end, if the caller has just read it.

        Raises:
            JournalError: it is damaged.
        """
        self.path = path
        make_folder(path.parent)
        is_new = not path.exists()
        # Unbuffered: a buffer would keep what a full disk refused and write it later.
        self._file = open_to_append(path)
        try:
            self._position = journal_end(path) if position is None else position
            if self._position.offset < path.stat().st_size:
                self._file.truncate(self._position.offset)
            if is_new:
                sync_folder(path.parent)
        except BaseException:
            self._file.close()
            raise

    def append(self, *events: Event) -> None:
        """Write the events and return once they are on disk.

        Raises:
            OSError: the disk did not take them all, so none of them is in the journal.
        """
        position, lines = self._position, []
        if position.format < FORMAT:
            line, position = header(position)
            lines.append(line)
        for event in events:
            line, position = numbered(position, event.model_dump_json(exclude=_unsaid(event)).encode())
            lines.append(line)
        try:
            _write_whole(self._file, b"".join(lines))
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to tell; the next opening cuts, too
                self._file.truncate(self._position.offset)
            raise
        self._position = position

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        self._file.close()


def journal_end(path: Path) -> Position:
    """Where the last whole line ends.

    Raises:
        JournalError: the journal is damaged.
    """
    position = Position()
    for line in read_lines(path, position):
        position = line.end
    return position


def read_events(path: Path, start: Position | None = None) -> Iterator[tuple[Event, Position]]:
    """Yield each event from `start` on with the position after it.

    Raises:
        JournalError: a line that is damaged or no event of this version; with file, line and what would help.
    """
    for line in read_lines(path, start or Position()):
        if line.content:
            yield _event_of(line.content, path, line.end), line.end


def parse_event(content: bytes, *, format_: int = FORMAT) -> Event:
    """The event of a line's JSON.

    Raises:
        ValueError: it is none of this version.
    """
    return _EVENT.validate_json(content) if format_ >= FORMAT else _EVENT.validate_python(_from_format_1(content))


def problem_with(error: ValueError) -> str:
    """What is wrong with a line's JSON or a part of it, without the value."""
    if not isinstance(error, ValidationError):
        return str(error)
    detail = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, detail["loc"]))
    return f"{where}: {detail['msg']}" if where else detail["msg"]


def _event_of(content: bytes, path: Path, end: Position) -> Event:
    try:
        return parse_event(content, format_=end.format)
    except ValueError as error:
        if end.format < FORMAT:
            problem = f"it is no event of this version ({problem_with(error)})"
            raise damaged(path, end.lines - 1, problem) from error
        raise JournalError(
            f"{path}:{end.lines}: an event of another version of this program ({problem_with(error)}); its checksum is "
            "right. Use the version that wrote it, or a newer one"
        ) from error


def _unsaid(event: Event) -> set[str]:
    """Fields to leave out: who trained is written once per worker, not with each epoch."""
    return {"host", "versions"} if isinstance(event, EpochEnded | TrialFinished) and not event.host else set()


def _from_format_1(content: bytes) -> object:
    """In format 1 stages counted from 0."""
    event = from_json(content)
    if isinstance(event, dict) and event.get("event") == "trial_proposed":
        stage = event.get("stage", 0)
        event["stage"] = stage + 1 if isinstance(stage, int) else stage
    return event


def _write_whole(file: RawIOBase, content: bytes) -> None:
    """A disk that fills up takes a part of what it is given, and refuses the rest only when asked again."""
    written = 0
    while written < len(content):
        written += file.write(content[written:]) or 0

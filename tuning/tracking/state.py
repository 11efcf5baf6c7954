"""Where MLflow is and how much of the journal it has. Reads and writes files; does not import MLflow."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, ValidationError

from trainables.config.base import Config
from trainables.errors import InputError
from trainables.permissions import file_mode
from trainables.safe_files import remove_file, replace_file
from tuning.storage.own_files import open_to_read, read_small
from tuning.storage.paths import StudyFolder

_HIDDEN = "***"
_SECRET_IN_QUERY = re.compile(r"(?i)((?:password|passwd|token|secret)[^=&]*=)[^&]*")


_LARGEST_BYTES = 64 * 2**20
"""Maximum size of `tracking.json`: enough for half a million trials."""

_LARGEST_PROBLEM = 64 * 2**10
"""Maximum size of `mirror.json`."""

RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""MLflow's format. A run id becomes part of URLs and paths."""


class TrackingState(Config):
    """Content of `STORAGE/NAME/tracking.json`. If it is lost, the runs are found again by their tags."""

    tracking_uri: str
    """Masked: passwords are never saved."""
    experiment_id: Annotated[str, Field(pattern=r"^[0-9]{1,32}$")]
    parent_run_id: RunId
    offset: int = Field(default=0, ge=0)
    """Number of journal bytes that MLflow has."""
    chain: str = ""
    """Checksum of those bytes, to detect that the journal has changed."""
    runs: dict[int, RunId] = Field(default_factory=dict)
    """Trial number to MLflow run."""
    documents: dict[str, str] = Field(default_factory=dict)
    """Path of each uploaded artifact to the SHA-256 of its text."""


def read_state(folder: StudyFolder) -> TrackingState | None:
    """Last saved state; None if there is none or it is invalid.

    Raises:
        InputError: the file is a link, not a regular file, or far too large.
    """
    try:
        return TrackingState.model_validate_json(read_small(folder.tracking, _LARGEST_BYTES))
    except (FileNotFoundError, ValidationError):
        return None


def write_state(folder: StudyFolder, state: TrackingState) -> None:
    """Replace the saved state atomically."""
    replace_file(folder.tracking, f"{state.model_dump_json(indent=1)}\n".encode(), file_mode(folder.path))


class MirrorProblem(Config):
    """Content of `STORAGE/NAME/mirror.json`, for other processes: why MLflow does not accept data."""

    tracking_uri: str
    """Masked."""
    failing_since: float = Field(ge=0, lt=2.0**33)
    """Time of the first of the current failures, seconds since 1970."""
    problem: str
    """Error of the last attempt."""


def read_problem(folder: StudyFolder) -> MirrorProblem | None:
    """The error of the last attempt to write to MLflow; None if it succeeded or the file is invalid.

    Raises:
        InputError: the file is a link, not a regular file, or far too large.
    """
    try:
        return MirrorProblem.model_validate_json(read_small(folder.mirror_problem, _LARGEST_PROBLEM))
    except (FileNotFoundError, ValidationError):
        return None


def write_problem(folder: StudyFolder, problem: MirrorProblem | None) -> None:
    """Save the problem for `read_problem`; None once MLflow has everything.

    Raises:
        OSError: the file cannot be written.
    """
    if problem is None:
        remove_file(folder.mirror_problem, folder.path, missing_ok=True)
    else:
        content = f"{problem.model_dump_json()}\n".encode()
        replace_file(folder.mirror_problem, content, file_mode(folder.path))


def events_waiting(folder: StudyFolder, state: TrackingState | None) -> int:
    """Number of journal lines that MLflow does not have yet, according to `state`."""
    if not folder.journal.exists():
        return 0
    with open_to_read(folder.journal) as file:
        file.seek(0 if state is None else state.offset)
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def read_run_ids(folder: StudyFolder) -> dict[int, str]:
    """MLflow run of each trial that has one, by trial number."""
    state = read_state(folder)
    return {} if state is None else state.runs


def resolve_tracking_uri(option: str | None, storage: Path, folder: StudyFolder | None = None) -> str:
    """Address of MLflow: the option, else `$MLFLOW_TRACKING_URI`, else the one this study used before, else
    `mlflow.db` next to `storage`.

    Raises:
        InputError: the study used an address with a password, which is not saved and must be given again.
    """
    given = option or os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    state = None if folder is None else read_state(folder)
    if state is not None:
        if _HIDDEN in state.tracking_uri:
            raise InputError(
                f"this study is recorded at {state.tracking_uri}, and its password is not saved; "
                "give the address again with --tracking-uri or MLFLOW_TRACKING_URI"
            )
        return state.tracking_uri
    return f"sqlite:///{storage.resolve().parent / 'mlflow.db'}"


def repeating(folder: StudyFolder, tracking_uri: str | None, address: str | None = None) -> StudyFolder:
    """The folder, whose commands repeat these options as the user gave them; an address with a password is left out."""
    shown = tracking_uri if tracking_uri is not None and masked(tracking_uri) == tracking_uri else None
    return replace(folder, tracking_uri=shown, address=address)


def masked(uri: str) -> str:
    """`uri` with its password masked, for messages and files."""
    parts = urlsplit(uri)
    user, at, host = parts.netloc.rpartition("@")
    if at and ":" in user:
        parts = parts._replace(netloc=f"{user.split(':')[0]}:{_HIDDEN}@{host}")
    if not (at or parts.query):
        return uri  # urlunsplit would change sqlite:////path
    return urlunsplit(parts._replace(query=_SECRET_IN_QUERY.sub(rf"\g<1>{_HIDDEN}", parts.query)))

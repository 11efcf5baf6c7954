"""Where MLflow is and how far it has been brought up to the journal. Reads and writes files; imports no MLflow."""

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, ValidationError

from trainables.config.base import Config
from trainables.errors import InputError
from trainables.permissions import file_mode
from trainables.safe_files import replace_file
from tuning.storage.own_files import read_small
from tuning.storage.paths import StudyFolder

_HIDDEN = "***"
_SECRET_IN_QUERY = re.compile(r"(?i)((?:password|passwd|token|secret)[^=&]*=)[^&]*")


_LARGEST_BYTES = 64 * 2**20
"""Of `tracking.json`: room for half a million trials."""

RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""As MLflow makes them. A run's id becomes part of addresses and paths."""


class TrackingState(Config):
    """Content of `STORAGE/NAME/tracking.json`. It can be lost: the runs are found again by their tags."""

    tracking_uri: str
    """Masked: a password is never written down."""
    experiment_id: Annotated[str, Field(pattern=r"^[0-9]{1,32}$")]
    parent_run_id: RunId
    offset: int = Field(default=0, ge=0)
    """Journal bytes that MLflow has in full."""
    runs: dict[int, RunId] = Field(default_factory=dict)
    """Trial number to MLflow run."""
    documents: dict[str, str] = Field(default_factory=dict)
    """Path of each uploaded artifact to the SHA-256 of its text."""


def read_state(folder: StudyFolder) -> TrackingState | None:
    """Last saved state; None where there is none that can be read.

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


def read_run_ids(folder: StudyFolder) -> dict[int, str]:
    """MLflow run of each trial that has one, by trial number."""
    state = read_state(folder)
    return {} if state is None else state.runs


def resolve_tracking_uri(option: str | None, storage: Path, folder: StudyFolder | None = None) -> str:
    """Address of MLflow: the option, else `$MLFLOW_TRACKING_URI`, else the one this study used before, else
    `mlflow.db` beside `storage`.

    Raises:
        InputError: the study used an address with a password, which is not written down and has to be given again.
    """
    given = option or os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    state = None if folder is None else read_state(folder)
    if state is not None:
        if _HIDDEN in state.tracking_uri:
            raise InputError(
                f"this study is recorded at {state.tracking_uri}, and its password is not written down; "
                "give the address again, with --tracking-uri or in MLFLOW_TRACKING_URI"
            )
        return state.tracking_uri
    return f"sqlite:///{storage.resolve().parent / 'mlflow.db'}"


def masked(uri: str) -> str:
    """`uri` without its password, fit for messages and files."""
    parts = urlsplit(uri)
    user, at, host = parts.netloc.rpartition("@")
    if at and ":" in user:
        parts = parts._replace(netloc=f"{user.split(':')[0]}:{_HIDDEN}@{host}")
    if not (at or parts.query):
        return uri  # urlunsplit would change sqlite:////path
    return urlunsplit(parts._replace(query=_SECRET_IN_QUERY.sub(rf"\g<1>{_HIDDEN}", parts.query)))

"""Where MLflow is and how far it has been brought up to the journal. Reads and writes files; imports no MLflow."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, ValidationError

from trainables.config.base import Config
from trainables.errors import InputError
from tuning.storage.paths import StudyFolder

_HIDDEN = "***"
_SECRET_IN_QUERY = re.compile(r"(?i)((?:password|passwd|token|secret)[^=&]*=)[^&]*")


class TrackingState(Config):
    """Content of `STORAGE/NAME/tracking.json`. It can be lost: the runs are found again by their tags."""

    tracking_uri: str
    """Masked: a password is never written down."""
    experiment_id: str
    parent_run_id: str
    offset: int = 0
    """Journal bytes that MLflow has in full."""
    runs: dict[int, str] = Field(default_factory=dict)
    """Trial number to MLflow run."""
    documents: dict[str, str] = Field(default_factory=dict)
    """Path of each uploaded artifact to the SHA-256 of its text."""


def read_state(folder: StudyFolder) -> TrackingState | None:
    """Last saved state; None where there is none that can be read."""
    try:
        return TrackingState.model_validate_json(folder.tracking.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_state(folder: StudyFolder, state: TrackingState) -> None:
    """Replace the saved state atomically."""
    temporary = folder.tracking.with_suffix(".json.new")
    temporary.write_text(state.model_dump_json(indent=1) + "\n")
    os.replace(temporary, folder.tracking)


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

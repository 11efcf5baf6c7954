"""The only file that imports MLflow: connecting, runs, batches, documents, models."""

import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Set before the import, which reads the first. They apply to this process and its children.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
# MLflow's own retry repeats a `create run` that timed out but may have succeeded: a duplicate. We retry ourselves
# and look first.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"

import mlflow
import mlflow.artifacts
import mlflow.pytorch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about MLflow's own type hints
    import mlflow.pyfunc  # save_model would import it later, during the study
import numpy as np
from mlflow.entities import Experiment, LoggedModelOutput, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray
from torch import nn

import trainables
from trainables.errors import TuneError
from trainables.permissions import file_mode, make_folder
from trainables.safe_files import refuse_link, writing_beside
from tuning.tracking.state import masked
from tuning.tracking.translator import STUDY_TAG, TRIAL_TAG, Point, RunStatus

logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # logs tracebacks of errors that it also raises

_MODEL_NEEDS = ("torch", "torchvision", "numpy", "pydantic")
"""Imports of a logged model's code; listing them saves MLflow five seconds of detection."""
_REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}


class TrackingError(TuneError):
    """A request to MLflow failed."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        """`refused`: MLflow rejected the request itself, so a retry does not help."""
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True)
class FoundRun:
    """A run with the study's tag."""

    run_id: str
    number: int | None
    """Trial; None for the study's own run."""
    started_ms: int


@dataclass(frozen=True)
class RegisteredModel:
    """A model version, by alias or number."""

    name: str
    alias: str | None = None
    version: str = ""


class Store:
    """Client for one MLflow address. MLflow's errors are raised as `TrackingError`."""

    def __init__(self, uri: str) -> None:
        """Store the address; contacts nothing yet."""
        self.uri = uri

    @contextmanager
    def _client(self) -> Iterator[mlflow.MlflowClient]:
        try:
            yield mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        except TuneError:
            raise
        except MlflowException as error:
            raise TrackingError(self._in_one_line(error), refused=error.error_code in _REFUSALS) from error
        except Exception as error:  # MLflow does not wrap errors of requests, SQLAlchemy and the file system
            raise TrackingError(self._in_one_line(error)) from error

    def _in_one_line(self, error: BaseException) -> str:
        """The root cause in one line, without passwords: MLflow's messages repeat the address and include SQL."""
        while (deeper := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
            error = deeper
        text = str(error).replace(self.uri, masked(self.uri))
        if password := urlsplit(self.uri).password:
            text = text.replace(password, "***")
        lines = [line for line in text.splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__

    def ping(self) -> None:
        """Return if MLflow answers."""
        with self._client() as client:
            client.search_experiments(max_results=1)

    def experiment(self, name: str, artifact_location: str | None) -> str:
        """Id of the experiment `name`, created if need be."""
        with self._client() as client:
            found = client.get_experiment_by_name(name)
            if found is None:
                try:
                    return _answered("experiment id", client.create_experiment(name, artifact_location))
                except MlflowException as error:
                    # Another study may have created it meanwhile.
                    found = client.get_experiment_by_name(name)
                    if found is None:
                        raise error
            return _active(found)

    def find_runs(self, experiment_id: str, study_id: str) -> list[FoundRun]:
        """Every run of the study, oldest first."""
        found: list[FoundRun] = []
        token: str | None = None
        with self._client() as client:
            while True:
                page = client.search_runs(
                    [experiment_id],
                    f"tags.`{STUDY_TAG}` = '{study_id}'",
                    ViewType.ACTIVE_ONLY,
                    max_results=1000,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
                found += [_found(run) for run in page]
                token = page.token
                if not token:
                    return found

    def check_active(self, run_id: str) -> None:
        """Raise `TrackingError` unless the run exists and is not deleted."""
        with self._client() as client:
            run = client.get_run(run_id)
        if run.info.lifecycle_stage != "active":
            raise TrackingError(f"MLflow's run {run_id} was deleted")

    def create_run(self, experiment_id: str, name: str, started: float, tags: Mapping[str, str]) -> str:
        """Create a run and return its id."""
        with self._client() as client:
            run = client.create_run(experiment_id, start_time=_ms(started), tags=dict(tags), run_name=name)
            return _answered("run id", run.info.run_id)

    def delete_run(self, run_id: str) -> None:
        """Delete a run (MLflow keeps it restorable)."""
        with self._client() as client:
            client.delete_run(run_id)

    def write(self, run_id: str, params: Mapping[str, str], metrics: Sequence[Point], tags: Mapping[str, str]) -> None:
        """Add params, metrics and tags to a run. MLflow's client splits them into batches."""
        with self._client() as client:
            client.log_batch(
                run_id,
                metrics=[Metric(point.key, point.value, _ms(point.time), point.step) for point in metrics],
                params=[Param(key, value) for key, value in params.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )

    def set_status(self, run_id: str, status: RunStatus, ended: float | None) -> None:
        """Set a run's status and, if it ended, its end time."""
        with self._client() as client:
            if ended is None:
                client.update_run(run_id, status=status)
            else:
                client.set_terminated(run_id, status=status, end_time=_ms(ended))

    def write_document(self, run_id: str, path: str, text: str) -> None:
        """Upload `text` as the artifact `path` of a run, replacing an existing one."""
        with self._client() as client:
            client.log_text(run_id, text, path)

    def find_model(self, experiment_id: str, run_id: str) -> str | None:
        """Id of the complete model that `run_id` logged, if there is one."""
        with self._client() as client:
            models = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
            ready = (model.model_id for model in models if str(model.status) == "READY")
            return next((_answered("model id", model_id) for model_id in ready), None)

    def log_model(self, experiment_id: str, run_id: str, name: str, params: Mapping[str, str], files: Path) -> str:
        """Upload the model that `save_model` wrote to `files` as an output of `run_id`; return the model's id."""
        with self._client() as client:
            model = client.create_logged_model(
                experiment_id, name, run_id, params=dict(params), model_type="classifier"
            )
            model_id = _answered("model id", model.model_id)
            description = Model.load(str(files))
            description.model_id, description.run_id = model_id, run_id
            description.artifact_path = model.artifact_location
            description.save(str(files / "MLmodel"))
            client.log_model_artifacts(model_id, str(files))
            client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
            client.finalize_logged_model(model_id, "READY")
            return model_id

    def register(self, name: str, model_id: str, run_id: str, alias: str, tags: Mapping[str, str]) -> str:
        """Register a logged model as a new version of `name`, unless it is registered, and point `alias` at it."""
        with self._client() as client:
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            versions = client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'")
            # Not models:/ID, which MLflow would resolve at this process's default address.
            source = client.get_logged_model(model_id).artifact_location
            known = next((found for found in versions if found.source == source), None)
            if known is None:
                known = client.create_model_version(name, source, run_id, dict(tags), model_id=model_id)
            client.set_registered_model_alias(name, alias, known.version)
            return _answered("model version", known.version)

    def download(self, model: RegisteredModel, path: str, destination: Path) -> Path:
        """Fetch the file `path` of a registered model into the folder `destination`/VERSION.

        One folder per version, so an alias that moves does not change earlier downloads. Whatever the server answers,
        nothing is written outside that folder: the download is temporary, and one regular file is copied from it.
        """
        with self._client() as client:
            number = model.version
            if model.alias is not None:
                number = client.get_model_version_by_alias(model.name, model.alias).version
            target = destination / _answered("model version", number) / Path(path).name
            # Not models:/NAME@ALIAS, which MLflow would resolve at this process's default address.
            source = client.get_model_version_download_uri(model.name, str(number))
            with tempfile.TemporaryDirectory() as temporary:
                local = Path(
                    mlflow.artifacts.download_artifacts(
                        f"{source}/{path}", dst_path=temporary, tracking_uri=self.uri, registry_uri=self.uri
                    )
                )
                if local.is_symlink() or not local.is_file():
                    raise TrackingError(f"MLflow has no file {path} for version {number} of {model.name}")
                for place in (destination.parent, destination, target.parent):
                    refuse_link(place)
                make_folder(target.parent)
                with open(local, "rb") as content, writing_beside(target, file_mode(target.parent)) as file:
                    shutil.copyfileobj(content, file)
            return target


def save_model(
    folder: Path, module: nn.Module, example: NDArray[np.float32], classes: int, extra_files: Sequence[Path]
) -> None:
    """Write an MLflow model: pickled module with its code, signature (any number of images), input example."""
    images = TensorSpec(np.dtype(np.float32), (-1, *example.shape[1:]), name=None)
    scores = TensorSpec(np.dtype(np.float32), (-1, classes))
    mlflow.pytorch.save_model(
        module,
        str(folder),
        signature=ModelSignature(Schema([images]), Schema([scores])),
        input_example=example,
        serialization_format="pickle",
        code_paths=[str(Path(trainables.__file__).parent)],
        pip_requirements=[f"{name}=={version(name)}" for name in _MODEL_NEEDS],
        extra_files=[str(path) for path in extra_files],
    )


def _active(experiment: Experiment) -> str:
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow's experiment {experiment.name} was deleted; bring it back with "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`",
        )
    return _answered("experiment id", experiment.experiment_id)


def _found(run: Any) -> FoundRun:
    number = run.data.tags.get(TRIAL_TAG)
    return FoundRun(
        _answered("run id", run.info.run_id),
        None if number is None else int(_answered("trial number", number)),
        run.info.start_time,
    )


_ANSWERS = {
    "run id": re.compile(r"[0-9a-f]{32}"),
    "experiment id": re.compile(r"[0-9]{1,32}"),
    "model id": re.compile(r"m-[0-9a-f]{32}"),
    "model version": re.compile(r"[0-9]{1,18}"),
    "trial number": re.compile(r"[0-9]{1,18}"),
}
"""Formats of MLflow's values. They become part of paths and URLs here, so anything else is rejected."""


def _answered(what: str, value: object) -> str:
    """The value as text, if it has MLflow's format.

    Raises:
        TrackingError: it has another format.
    """
    text = str(value)
    if _ANSWERS[what].fullmatch(text) is None:
        raise TrackingError(
            f"MLflow answered with the {what} {text[:80]!r}, which is invalid; is this an MLflow server?"
        )
    return text


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

"""Studies written event by event, and all that MLflow holds of one, to compare."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tuning.storage.journal import (
    EpochEnded,
    Event,
    Journal,
    StudyEnded,
    StudyOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
    TrialState,
)
from tuning.storage.paths import StudyFolder
from tuning.tracking.mirror import Mirror
from tuning.tracking.preflight import ensure_database
from tuning.tracking.state import read_state

STUDY: dict[str, Any] = {
    "name": "tiny",
    "data": {"dataset": "digits"},
    "search": {"trials": 4},
    "space": {"model.filters": {"choices": [8, 16]}, "optimizer.learning_rate": {"low": 0.001, "high": 0.1}},
}
CONFIG = {"data": {"dataset": "digits"}, "model": {"name": "cnn"}, "training": {"seed": 3, "max_epochs": 3}}


class WrittenStudy:
    """A study whose driver is the test. Every event is half a second after the one before."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        self.journal = Journal(folder.journal)
        self._now = 1_700_000_000.0

    def time(self) -> float:
        self._now += 0.5
        return self._now

    def write(self, *events: Event) -> None:
        self.journal.append(*(event.model_copy(update={"time": self.time()}) for event in events))

    def open(self, **search: object) -> None:
        study = STUDY | {"search": STUDY["search"] | search}
        self.write(StudyOpened(version="1.0", study=study, data_fingerprint="f00d", host="here", pid=1))

    def propose(self, number: int) -> None:
        params = {"model.filters": 8 * (1 + number % 2), "optimizer.learning_rate": 0.01 / (1 + number)}
        size = {"parameters": 1000 + number, "macs": 5000}
        self.write(
            TrialProposed(number=number, params=params, config=CONFIG, hash=f"{number:064d}", size=size),
            TrialStarted(number=number),
        )

    def epochs(self, number: int, first: int, last: int) -> None:
        for epoch in range(first, last + 1):
            accuracy = 1 - 1 / (1 + epoch + number % 7)
            metrics = {"val_accuracy": accuracy, "val_loss": 1 - accuracy, "train_loss": 0.5 / epoch}
            self.write(EpochEnded(number=number, epoch=epoch, metrics=metrics))

    def finish(self, number: int, state: TrialState = "completed", reason: str = "") -> None:
        self.write(TrialFinished(number=number, state=state, reason=reason, duration_s=1.5 + number))

    def trial(self, number: int, state: TrialState = "completed", reason: str = "", epochs: int = 3) -> None:
        self.propose(number)
        self.epochs(number, 1, epochs)
        self.finish(number, state, reason)

    def end(self) -> None:
        self.write(StudyEnded(state="finished", reason="4 trials are done"))


@pytest.fixture
def study(tmp_path: Path) -> Iterator[WrittenStudy]:
    written = WrittenStudy(StudyFolder(tmp_path / "studies", "tiny"))
    yield written
    written.journal.close()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copied rather than built, which takes a second and a half."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    ensure_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"


def contents(uri: str, folder: StudyFolder) -> dict[str, Any]:
    """All that MLflow holds of the study, by run; fails if a run is there twice."""
    client = MlflowClient(uri)
    state = read_state(folder)
    assert state is not None
    found: dict[str, Any] = {}
    for run in client.search_runs([state.experiment_id], max_results=1000):
        is_study = run.info.run_id == state.parent_run_id
        assert is_study or run.data.tags["mlflow.parentRunId"] == state.parent_run_id
        name = "study" if is_study else run.data.tags["tune.trial"]
        assert name not in found, f"{name} is there twice"
        found[name] = _describe(client, run)
    return found


def _describe(client: MlflowClient, run: Run) -> dict[str, Any]:
    own = {key: value for key, value in run.data.tags.items() if not key.startswith(("mlflow.", "version.", "code."))}
    documents = {file.path for file in client.list_artifacts(run.info.run_id)}
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "started": run.info.start_time,
        "ended": run.info.end_time,
        "params": run.data.params,
        "tags": own,
        "latest": run.data.metrics,
        "history": {
            key: sorted(
                (point.step, point.value, point.timestamp) for point in client.get_metric_history(run.info.run_id, key)
            )
            for key in run.data.metrics
        },
        "documents": {path: _text(client, run, path) for path in documents},
    }


def _text(client: MlflowClient, run: Run, path: str) -> str:
    return Path(client.download_artifacts(run.info.run_id, path)).read_text()


@pytest.fixture(name="contents")
def _contents() -> Callable[[str, StudyFolder], dict[str, Any]]:
    return contents


@pytest.fixture
def undisturbed(tmp_path: Path, empty_database: Path) -> Callable[[StudyFolder], dict[str, Any]]:
    """What MLflow holds after the same journal has been written to a new database in one go."""

    def write(folder: StudyFolder) -> dict[str, Any]:
        copy = StudyFolder(tmp_path / "undisturbed" / "studies", folder.name)
        copy.path.mkdir(parents=True)
        copy.journal.write_bytes(folder.journal.read_bytes())
        uri = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'undisturbed' / 'mlflow.db')}"
        Mirror(copy, uri).bring_up_to_date()
        return contents(uri, copy)

    return write

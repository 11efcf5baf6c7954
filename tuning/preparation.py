"""Checks a study before anything is started or written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from search_spaces.schema import StudyConfig
from trainables.config import DataConfig
from trainables.config.references import absolute
from trainables.data.training_data import TrainingData, prepare_training_data
from tuning.execution.cluster import check_address, check_local_resources
from tuning.pretrained import fetch_and_check, with_local_weights
from tuning.search.feasibility import feasibility_on
from tuning.search.stages import make_stage, stage_count
from tuning.search.validation import check_search
from tuning.search.warm_start import warm_trials
from tuning.storage.observer import Observer
from tuning.storage.paths import StudyFolder
from tuning.storage.record import TrialRecord
from tuning.tracking.preflight import check_reachable
from tuning.tracking.state import repeating, resolve_tracking_uri


@dataclass(frozen=True)
class StudyLocations:
    """Where a study's record, its MLflow mirror and its workers are."""

    storage: Path
    tracking_uri: str | None = None
    """None: `MLFLOW_TRACKING_URI`, else `mlflow.db` next to the storage."""
    address: str | None = None
    """A running Ray cluster; None: a private one on this machine."""

    def folder(self, name: str) -> StudyFolder:
        """Of the study `name`; the commands it suggests repeat these locations."""
        return repeating(StudyFolder(self.storage, name), self.tracking_uri, self.address)


@dataclass(frozen=True)
class StudyContext:
    """A study that has passed every check, and what it needs to run."""

    config: StudyConfig
    folder: StudyFolder
    tracking_uri: str
    address: str | None
    data: TrainingData
    """The images of the study file; a stage may use fewer or smaller ones."""
    images: Mapping[DataConfig, TrainingData]
    """The images of every stage."""
    transfer_trials: tuple[TrialRecord, ...]
    """Trials of the `search.warm_start` study."""
    observer: Observer


def prepare(config: StudyConfig, folder: StudyFolder, locations: StudyLocations, observer: Observer) -> StudyContext:
    """Run every check before anything is started or written.

    Raises:
        InputError: something is wrong with the study, its data, resources or tracking server.
    """
    check_search(config)
    if locations.address is None:
        check_local_resources(config.resources)
    else:
        check_address(locations.address)
    tracking_uri = resolve_tracking_uri(locations.tracking_uri, locations.storage, folder)
    config = with_local_weights(config, tracking_uri, folder)
    observer.phase("reading images")
    images = {config.data: prepare_training_data(config.data, observer.progress)}
    for index in range(stage_count(config)):
        stage = make_stage(config, index).study
        if stage.data not in images:
            images[stage.data] = prepare_training_data(stage.data, observer.progress)
        feasibility = feasibility_on(images[stage.data])
        feasibility.require(stage.base)
        fetch_and_check(stage, feasibility)
    check_reachable(tracking_uri)  # last, because it creates a missing database
    data = images[config.data]
    transfer_trials = warm_trials(make_stage(config, 0).study, locations.storage, data.fingerprint)
    return StudyContext(config, folder, tracking_uri, locations.address, data, images, transfer_trials, observer)


def with_absolute_paths(config: StudyConfig) -> StudyConfig:
    """The configuration with absolute paths: workers and later drivers have other working directories."""
    paths = {name: absolute(path) for name in ("root", "cache_dir") if (path := getattr(config.data, name)) is not None}
    return config.model_copy(update={"data": config.data.model_copy(update=paths)})

"""All that can be wrong with a study, found out before anything is started or written."""

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
    """Where a study keeps its record, mirrors it, and runs."""

    storage: Path
    tracking_uri: str | None = None
    """None: `MLFLOW_TRACKING_URI`, else `mlflow.db` beside the storage."""
    address: str | None = None
    """A running Ray cluster; None: a private one on this machine."""

    def folder(self, name: str) -> StudyFolder:
        """Of the study `name`; the commands it suggests repeat these locations."""
        return repeating(StudyFolder(self.storage, name), self.tracking_uri, self.address)


@dataclass(frozen=True)
class StudyContext:
    """A study whose every precondition has been checked."""

    config: StudyConfig
    folder: StudyFolder
    tracking_uri: str
    address: str | None
    data: TrainingData
    """As the study file describes it; a stage may see fewer or smaller images."""
    images: Mapping[DataConfig, TrainingData]
    """Those of every stage."""
    transfer_trials: tuple[TrialRecord, ...]
    """Trials of the study that `search.warm_start` names."""
    observer: Observer


def prepare(config: StudyConfig, folder: StudyFolder, locations: StudyLocations, observer: Observer) -> StudyContext:
    """Check and build all that can be wrong before anything is started or written.

    Raises:
        InputError: study, data, resources or tracking server are not as the study needs them.
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
    check_reachable(tracking_uri)  # last, since it makes the database where there is none
    data = images[config.data]
    transfer_trials = warm_trials(make_stage(config, 0).study, locations.storage, data.fingerprint)
    return StudyContext(config, folder, tracking_uri, locations.address, data, images, transfer_trials, observer)


def with_absolute_paths(config: StudyConfig) -> StudyConfig:
    """Workers and later drivers stand in other folders than the one where the study was started."""
    paths = {name: absolute(path) for name in ("root", "cache_dir") if (path := getattr(config.data, name)) is not None}
    return config.model_copy(update={"data": config.data.model_copy(update=paths)})

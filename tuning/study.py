"""A study from beginning to end: prepare, search, register the champion; or take up where a driver left off."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ray.tune.schedulers import FIFOScheduler

from search_spaces.schema import StudyConfig
from trainables.data.manifest import split_manifest
from trainables.data.training_data import TrainingData, prepare_training_data
from trainables.errors import InputError, RecordError, StudyFailedError, StudyInterruptedError
from tuning.catalogue import find_study, require_free_name
from tuning.champion import register_champion
from tuning.cluster import check_address, check_local_resources, concurrent_trials, connect
from tuning.confirm import Confirming, recommended, trials_to_confirm
from tuning.execution import Ended, Workers
from tuning.feasibility import Feasibility
from tuning.journal import StudyEnded, StudyOpened
from tuning.layout import StudyFolder
from tuning.lock import hold
from tuning.observer import Observer
from tuning.pretrained import fetch_and_check, with_local_weights
from tuning.record import StudyRecord, TrialRecord, read_record
from tuning.recorder import Recorder
from tuning.retention import require_weights
from tuning.schedulers import make_scheduler
from tuning.search import Search
from tuning.search_checks import check_search
from tuning.signals import stop_requests
from tuning.tracking import Mirror, TrackingError, check_reachable, resolve_tracking_uri
from tuning.versions import PROGRAM_VERSION, require_known_version
from tuning.warm_start import warm_trials
from tuning.writing import writing

_LAST_WORDS_SECONDS = 60.0
"""How long a finished study waits for a slow tracking server before it leaves the rest to `tune-cli sync`."""


@dataclass(frozen=True)
class Places:
    """Where a study keeps its record, mirrors it, and runs."""

    storage: Path
    tracking_uri: str | None = None
    """None: `MLFLOW_TRACKING_URI`, else `mlflow.db` beside the storage."""
    address: str | None = None
    """A running Ray cluster; None: a private one on this machine."""


def run_study(config: StudyConfig, places: Places, observer: Observer) -> StudyRecord:
    """Run a new study.

    Raises:
        InputError: the name is taken; or data, resources or tracking server are not as the study needs them.
        StudyFailedError: no trial reached a result.
        StudyInterruptedError: a signal stopped it.
    """
    folder = StudyFolder(places.storage, config.name)
    require_free_name(places.storage, config.name)
    prepared = _prepare(_with_absolute_paths(config), folder, places, observer)
    folder.path.mkdir(parents=True)
    with hold(folder):
        return _drive(prepared)


def resume_study(
    name: str,
    places: Places,
    observer: Observer,
    *,
    changed: StudyConfig | None = None,
    more_trials: int = 0,
    more_seconds: float = 0.0,
) -> StudyRecord:
    """Finish an interrupted study or extend a finished one; one that has nothing left to do is returned as it is.

    Args:
        name: of the study.
        places: where it is.
        observer: told what happens.
        changed: its configuration from now on (`tuning.changes.going_on`); None leaves it as it was.
        more_trials: trials to add.
        more_seconds: time to add to its time budget, if it has one.

    Raises:
        InputError: no such study, another driver works on it, a newer version of this program began it, its images
            have changed, or the weights of a trial that is to be confirmed were deleted.
        StudyFailedError, StudyInterruptedError: as `run_study`.
    """
    folder = find_study(places.storage, name)
    with hold(folder):
        record = read_record(folder.journal)
        require_known_version(folder.name, record.version)
        config = _extended(changed or record.config, more_trials, more_seconds)
        if record.state == "finished" and _champion_is_registered(record) and config == record.config:
            observer.phase(f"study {name} is finished already: {record.reason}")
            return record
        if config.confirm.top > record.config.confirm.top:
            require_weights(folder, record, config.confirm.top)
        prepared = _prepare(config, folder, places, observer)
        if prepared.data.fingerprint != record.data_fingerprint:
            raise InputError(
                f"the images of study {name!r} have changed since it began (fingerprint "
                f"{record.data_fingerprint[:12]}, now {prepared.data.fingerprint[:12]}), so results would not be "
                "comparable; put the former files back, or start a study of another name"
            )
        return _drive(prepared)


@dataclass(frozen=True)
class _Prepared:
    """A study whose every precondition has been checked."""

    config: StudyConfig
    folder: StudyFolder
    tracking_uri: str
    address: str | None
    data: TrainingData
    feasibility: Feasibility
    others: tuple[TrialRecord, ...]
    """Trials of the study that `search.warm_start` names."""
    observer: Observer


def _prepare(config: StudyConfig, folder: StudyFolder, places: Places, observer: Observer) -> _Prepared:
    """Check and build all that can be wrong before anything is started or written."""
    check_search(config)
    if places.address is None:
        check_local_resources(config.resources)
    else:
        check_address(places.address)
    tracking_uri = resolve_tracking_uri(places.tracking_uri, places.storage, folder)
    config = with_local_weights(config, tracking_uri, folder)
    observer.phase("reading images")
    data = prepare_training_data(config.data, observer.progress)
    feasibility = Feasibility(data.image_shape, len(data.classes))
    feasibility.require(config)
    fetch_and_check(config, feasibility)
    check_reachable(tracking_uri)  # last, since it makes the database where there is none
    others = warm_trials(config, places.storage, data.fingerprint)
    return _Prepared(config, folder, tracking_uri, places.address, data, feasibility, others, observer)


def _drive(study: _Prepared) -> StudyRecord:
    """Work on the study until its end, from whatever its journal says."""
    with writing(study.folder):
        study.folder.manifest.write_text(json.dumps(split_manifest(study.config.data, study.data), indent=1))
    with Recorder(study.folder, study.observer) as recorder, stop_requests() as interrupt:
        recorder.record(_opening(study))
        with _mirrored(study):
            try:
                ended = _run_trials(study, recorder, interrupt)
            except RecordError:
                raise  # nothing can be written; the study is as if its driver had died here
            except StudyFailedError as error:
                recorder.record(StudyEnded(state="failed", reason=str(error)))
                raise
            if ended.interrupted:
                recorder.record(StudyEnded(state="interrupted", reason=ended.reason))
                raise StudyInterruptedError(f"interrupted; go on with `tune-cli resume {study.folder.reference}`")
            return _conclude(study, recorder, ended)


def _run_trials(study: _Prepared, recorder: Recorder, interrupt: threading.Event) -> Ended:
    """Search, then confirm the best; each only as far as the journal says that something is left to do."""
    record = recorder.study()
    search = Search(study.config, study.data.fingerprint, study.feasibility.check, record.trials, study.others)
    unfinished = [trial for trial in record.trials if not trial.is_finished]
    if search.ended_because and not unfinished and not trials_to_confirm(record):
        return Ended(interrupted=False, reason=search.ended_because)
    study.observer.phase("starting workers")
    with connect(study.address, study.config.resources, study.folder.path):
        concurrent = concurrent_trials(study.config.resources)
        workers = Workers(study.config, study.folder, study.data, recorder.record, interrupt, concurrent)
        ended = _search(study, workers, search, record)
        return ended if ended.interrupted else _confirm(study, workers, recorder.study()) or ended


def _search(study: _Prepared, workers: Workers, search: Search, record: StudyRecord) -> Ended:
    """Run the search's trials."""
    past = [trial for trial in record.trials if trial.source != "confirm"]
    study.observer.phase("searching")
    return workers.run(
        search,
        make_scheduler(study.config, past),
        past,
        # Any trial that may yet be confirmed as champion needs its weights.
        keep_checkpoints=max(study.config.search.keep_checkpoints, study.config.confirm.top),
        deadline=_deadline(study, record),
    )


def _confirm(study: _Prepared, workers: Workers, record: StudyRecord) -> Ended | None:
    """Retrain the best trials; None if that came to its end, or there was nothing to retrain."""
    confirming = Confirming(record)
    retrained = [trial for trial in record.trials if trial.source == "confirm"]
    if confirming.ended_because and all(trial.is_finished for trial in retrained):
        return None
    study.observer.phase("confirming the best trials with fresh seeds")
    ended = workers.run(confirming, FIFOScheduler(), retrained, keep_checkpoints=0, deadline=None)
    return ended if ended.interrupted else None


def _deadline(study: _Prepared, record: StudyRecord) -> float | None:
    """`time.monotonic()` at which the time budget is spent; earlier drivers have spent a part of it."""
    budget = study.config.search.time_budget
    return None if budget is None else time.monotonic() + budget - record.search_seconds


def _conclude(study: _Prepared, recorder: Recorder, ended: Ended) -> StudyRecord:
    """Say how the search ended and register its champion."""
    champion = recommended(recorder.study())
    if champion is None:
        reason = f"no trial reached a result ({ended.reason}); `tune-cli results {study.folder.reference}` says why"
        recorder.record(StudyEnded(state="failed", reason=reason))
        raise StudyFailedError(reason)
    recorder.record(StudyEnded(state="finished", reason=ended.reason))
    registered = recorder.study().champion_model
    if registered is None or registered.number != champion.number:
        study.observer.phase("registering the champion's model")
        try:
            recorder.record(register_champion(study.folder, champion, study.data, study.tracking_uri))
        except TrackingError as error:
            study.observer.warning(
                f"the champion's model is not registered yet ({error}); run `tune-cli resume {study.folder.reference}`"
            )
    return recorder.study()


def _champion_is_registered(record: StudyRecord) -> bool:
    """MLflow may have refused the model, or a person have picked another trial since."""
    champion = recommended(record)
    return (
        champion is not None and record.champion_model is not None and record.champion_model.number == champion.number
    )


@contextmanager
def _mirrored(study: _Prepared) -> Iterator[None]:
    """Keep MLflow up to date in the background; what has not arrived at the end is left to `tune-cli sync`."""
    mirror = Mirror(study.folder, study.tracking_uri)
    mirror.start()
    try:
        yield
    finally:
        if not mirror.close(_LAST_WORDS_SECONDS):
            study.observer.warning(f"MLflow has not heard everything yet; run `tune-cli sync {study.folder.reference}`")


def _opening(study: _Prepared) -> StudyOpened:
    return StudyOpened(
        version=PROGRAM_VERSION,
        study=study.config.model_dump(mode="json", exclude_unset=True),
        data_fingerprint=study.data.fingerprint,
        host=socket.gethostname(),
        pid=os.getpid(),
    )


def _with_absolute_paths(config: StudyConfig) -> StudyConfig:
    """Workers and later drivers stand in other folders than the one where the study was started."""
    paths = {name: path.resolve() for name in ("root", "cache_dir") if (path := getattr(config.data, name)) is not None}
    return config.model_copy(update={"data": config.data.model_copy(update=paths)})


def _extended(config: StudyConfig, more_trials: int, more_seconds: float) -> StudyConfig:
    update: dict[str, object] = {"trials": config.search.trials + more_trials}
    if config.search.time_budget is not None:
        update["time_budget"] = config.search.time_budget + more_seconds
    return config.model_copy(update={"search": config.search.model_copy(update=update)})

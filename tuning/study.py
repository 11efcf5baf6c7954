"""A study from beginning to end: prepare, search, register the champion; or take up where a driver left off."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from search_spaces.schema import StudyConfig
from trainables.data.manifest import split_manifest
from trainables.errors import RecordError, StudyFailedError, StudyInterruptedError
from trainables.permissions import file_mode, make_folder
from trainables.safe_files import replace_file
from tuning.execution.checkpoint_retention import require_weights
from tuning.execution.runner import RunOutcome
from tuning.execution.signals import stop_requests
from tuning.preparation import StudyContext, StudyLocations, prepare, with_absolute_paths
from tuning.selection.confirmation import recommended
from tuning.selection.registration import NotRegisteredError, register_champion
from tuning.selection.study_data import require_unchanged
from tuning.stage_runner import run_trials
from tuning.storage.catalog import find_study, require_free_name
from tuning.storage.driver_log import driver_log
from tuning.storage.journal import StudyEnded, StudyOpened
from tuning.storage.lock import study_lock
from tuning.storage.logged_observer import LoggedObserver
from tuning.storage.observer import Observer
from tuning.storage.record import StudyRecord
from tuning.storage.recorder import Recorder
from tuning.storage.versions import PROGRAM_VERSION, require_known_version
from tuning.storage.write_errors import writing
from tuning.tracking.mirror import Mirror
from tuning.tracking.state import masked

logger = logging.getLogger(__name__)

_FINAL_SYNC_TIMEOUT_S = 60.0
"""How long a finished study waits for a slow tracking server before it leaves the rest to `tune-cli sync`."""


def run_study(config: StudyConfig, locations: StudyLocations, observer: Observer) -> StudyRecord:
    """Run a new study.

    Raises:
        InputError: the name is taken; or data, resources or tracking server are not as the study needs them.
        StudyFailedError: no trial reached a result.
        StudyInterruptedError: a signal stopped it.
    """
    folder = locations.folder(config.name)
    require_free_name(locations.storage, config.name)
    prepared = prepare(with_absolute_paths(config), folder, locations, LoggedObserver(observer))
    make_folder(folder.path)
    with study_lock(folder), driver_log(folder, _addresses(locations)):
        _write_manifest(prepared)
        with Recorder(folder, prepared.observer) as recorder:  # makes the journal: from here on there is a study
            return _drive(prepared, recorder)


def resume_study(
    name: str,
    locations: StudyLocations,
    observer: Observer,
    *,
    changed: StudyConfig | None = None,
    more_trials: int = 0,
    more_seconds: float = 0.0,
) -> StudyRecord:
    """Finish an interrupted study or extend a finished one; one that has nothing left to do is returned as it is.

    Args:
        name: of the study.
        locations: where it is.
        observer: told what happens.
        changed: its configuration from now on (`tuning.changes.going_on`); None leaves it as it was.
        more_trials: trials to add.
        more_seconds: time to add to its time budget, if it has one.

    Raises:
        InputError: no such study, another driver works on it, a newer version of this program began it, its images
            have changed, or the weights of a trial that is to be confirmed were deleted.
        StudyFailedError, StudyInterruptedError: as `run_study`.
    """
    find_study(locations.storage, name)
    folder, observer = locations.folder(name), LoggedObserver(observer)
    with study_lock(folder), driver_log(folder, _addresses(locations)), Recorder(folder, observer) as recorder:
        record = recorder.study()
        require_known_version(folder.name, record.version)
        for caveat in record.caveats:
            observer.warning(caveat)
        observer.study(record)
        config = _with_more(changed or record.config, more_trials, more_seconds)
        if record.state == "finished" and _champion_is_registered(record) and config == record.config:
            observer.phase(f"study {name} is finished already: {record.reason}")
            return record
        if config.confirm.top > record.config.confirm.top:
            require_weights(folder, record, config.confirm.top)
        prepared = prepare(config, folder, locations, observer)
        require_unchanged(record, prepared.data)
        _write_manifest(prepared)
        return _drive(prepared, recorder)


def _drive(study: StudyContext, recorder: Recorder) -> StudyRecord:
    """Work on the study until its end, from whatever its journal says."""
    _log_start(study)
    with stop_requests() as interrupt:
        recorder.record(_opening(study))
        with _mirrored(study) as mirror:
            try:
                ended = run_trials(study, recorder, interrupt)
            except RecordError:  # leaves the study as if its driver had died here: nothing can be written
                raise
            except StudyFailedError as error:
                recorder.record(StudyEnded(state="failed", reason=str(error)))
                raise
            if ended.interrupted:
                recorder.record(StudyEnded(state="interrupted", reason=ended.reason))
                raise StudyInterruptedError(f"interrupted; go on with `{study.folder.command('resume')}`")
            return _conclude(study, recorder, mirror, ended)


def _write_manifest(study: StudyContext) -> None:
    with writing(study.folder):
        manifest = json.dumps(split_manifest(study.config.data, study.data), indent=1).encode()
        replace_file(study.folder.manifest, manifest, file_mode(study.folder.path))


def _conclude(study: StudyContext, recorder: Recorder, mirror: Mirror, ended: RunOutcome) -> StudyRecord:
    """Say how the search ended and register its champion."""
    champion = recommended(recorder.study())
    if champion is None:
        reason = f"no trial reached a result ({ended.reason}); `{study.folder.command('results')}` says why"
        recorder.record(StudyEnded(state="failed", reason=reason))
        raise StudyFailedError(reason)
    recorder.record(StudyEnded(state="finished", reason=ended.reason))
    try:
        register_champion(champion, study.images[champion.config.data], mirror, recorder, study.observer)
    except NotRegisteredError as error:
        study.observer.warning(str(error))
    return recorder.study()


def _champion_is_registered(record: StudyRecord) -> bool:
    """MLflow may have refused the model, or a person have picked another trial since."""
    champion = recommended(record)
    return (
        champion is not None and record.champion_model is not None and record.champion_model.number == champion.number
    )


@contextmanager
def _mirrored(study: StudyContext) -> Iterator[Mirror]:
    """Keep MLflow up to date in the background; what has not arrived at the end is left to `tune-cli sync`."""
    mirror = Mirror(study.folder, study.tracking_uri, study.observer.warning)
    mirror.start()
    try:
        yield mirror
    finally:
        if not mirror.close(_FINAL_SYNC_TIMEOUT_S):
            study.observer.warning(f"MLflow has not heard everything yet; run `{study.folder.command('sync')}`")


def _addresses(locations: StudyLocations) -> tuple[str, ...]:
    """Whose passwords the log must not have; those in the environment are found there."""
    return () if locations.tracking_uri is None else (locations.tracking_uri,)


def _log_start(study: StudyContext) -> None:
    logger.info(
        "driver of study %s: version %s, process %d on %s, Ray %s, MLflow at %s",
        study.folder.name,
        PROGRAM_VERSION,
        os.getpid(),
        socket.gethostname(),
        "on this machine alone" if study.address is None else f"at {study.address}",
        masked(study.tracking_uri),
    )
    logger.info("resources of a trial: %s; %d images", study.config.resources, len(study.data.names))


def _opening(study: StudyContext) -> StudyOpened:
    return StudyOpened(
        version=PROGRAM_VERSION,
        study=study.config.model_dump(mode="json", exclude_unset=True),
        resolved=study.config.model_dump(mode="json"),
        data_fingerprint=study.data.fingerprint,
        host=socket.gethostname(),
        pid=os.getpid(),
    )


def _with_more(config: StudyConfig, more_trials: int, more_seconds: float) -> StudyConfig:
    """More trials are more of the last stage, where there are several."""
    search = config.search
    update: dict[str, object] = {"trials": search.trials + more_trials}
    if search.stages:
        last = search.stages[-1]
        longer = last.model_copy(update={"trials": last.trials + more_trials})
        update = {"stages": (*search.stages[:-1], longer)}
    if config.search.time_budget is not None:
        update["time_budget"] = config.search.time_budget + more_seconds
    return config.model_copy(update={"search": config.search.model_copy(update=update)})

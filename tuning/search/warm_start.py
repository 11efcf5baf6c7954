"""Trials of another study that this study can learn from."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from search_spaces.composition import compose
from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from trainables.errors import InfeasibleError, InputError
from tuning.search.space import Space
from tuning.storage.catalog import find_study
from tuning.storage.record import TrialRecord
from tuning.storage.study_state import read_record


def warm_trials(study: StudyConfig, storage: Path, data_fingerprint: str) -> tuple[TrialRecord, ...]:
    """Finished trials of the `search.warm_start` study that this study could have trained itself.

    Their values are in this study's space, and everything else except the seed equals this study's base.

    Raises:
        InputError: the study does not exist, used other images, or has no such trial.
    """
    name = study.search.warm_start
    if name is None:
        return ()
    record = read_record(find_study(storage, name).journal)
    if record.data_fingerprint != data_fingerprint:
        raise InputError(
            f"search.warm_start: study {name!r} used other images (fingerprint {record.data_fingerprint[:12]}, here "
            f"{data_fingerprint[:12]}), so its results do not apply here; name a study on the same images"
        )
    finished = [trial for trial in record.trials if trial.is_finished]
    compatible = tuple(compatible_trials(study, finished))
    if not compatible:
        raise InputError(f"search.warm_start: {_why_none(study, name, finished)}")
    return compatible


def compatible_trials(study: StudyConfig, trials: Iterable[TrialRecord]) -> Iterator[TrialRecord]:
    """The trials that this study could have trained itself, with `params` for its space."""
    space = Space(study)
    for trial in trials:
        values = space.values_of(trial.config)
        if space.encode(values) is not None and not _differences(study, space, trial):
            yield TrialRecord(**{**trial.__dict__, "params": values})


def _differences(study: StudyConfig, space: Space, trial: TrialRecord) -> dict[str, tuple[Any, Any]]:
    """Fields that differ from this study's configuration for the same values: (theirs, ours) by path."""
    try:
        here = compose(study, space.values_of(trial.config))
    except InfeasibleError as error:
        return {str(error): (None, None)}
    ours, theirs = _fields(here), _fields(trial.config)
    return {
        path: (theirs.get(path), ours.get(path))
        for path in sorted(ours.keys() | theirs.keys())
        if ours.get(path) != theirs.get(path)
    }


def _fields(config: TrialConfig) -> dict[str, Any]:
    """Every setting that affects training, by path, except the seed."""
    fields = {
        f"{section}.{field}": value for section, part in config.learned().items() for field, value in part.items()
    }
    return {path: value for path, value in fields.items() if path != "training.seed"}


def _why_none(study: StudyConfig, name: str, finished: list[TrialRecord]) -> str:
    if not finished:
        return f"study {name!r} has no finished trial yet"
    differences = _differences(study, Space(study), finished[-1])
    shown = ", ".join(f"{path} was {there!r}, here {here!r}" for path, (there, here) in list(differences.items())[:4])
    return (
        f"no trial of study {name!r} could be one of this study: "
        + (shown or "their values are outside this space")
        + "; change this study to match, or remove warm_start"
    )

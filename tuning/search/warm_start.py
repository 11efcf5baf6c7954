"""Trials of another study that tell something about this one."""

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
    """Finished trials of the study that `search.warm_start` names which this study could have trained itself.

    A trial is such if its values lie in this study's space and everything else but the seed is as in this study's
    base.

    Raises:
        InputError: there is no such study, it was on other images, or it holds no such trial.
    """
    name = study.search.warm_start
    if name is None:
        return ()
    record = read_record(find_study(storage, name).journal)
    if record.data_fingerprint != data_fingerprint:
        raise InputError(
            f"search.warm_start: study {name!r} was on other images (fingerprint {record.data_fingerprint[:12]}, here "
            f"{data_fingerprint[:12]}), so its results say nothing about this one; name a study on the same images"
        )
    finished = [trial for trial in record.trials if trial.is_finished]
    compatible = tuple(compatible_trials(study, finished))
    if not compatible:
        raise InputError(f"search.warm_start: {_why_none(study, name, finished)}")
    return compatible


def compatible_trials(study: StudyConfig, trials: Iterable[TrialRecord]) -> Iterator[TrialRecord]:
    """Those that this study could have trained itself, their `params` in terms of its space."""
    space = Space(study)
    for trial in trials:
        values = space.values_of(trial.config)
        if space.encode(values) is not None and not _differences(study, space, trial):
            yield TrialRecord(**{**trial.__dict__, "params": values})


def _differences(study: StudyConfig, space: Space, trial: TrialRecord) -> dict[str, tuple[Any, Any]]:
    """Fields in which the trial is not what this study would make of the same values: there and here."""
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
    """Everything that a trial learns from, by path; its seed aside."""
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
        + (shown or "their values lie outside of this space")
        + "; change this study to match, or leave warm_start out"
    )

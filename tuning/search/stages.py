"""Staged search: builds a study for each stage from the study file and the results of earlier stages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from search_spaces.composition import compose
from search_spaces.schema import Parameter, StudyConfig, Value
from trainables.config import TrialConfig
from trainables.config.base import MAX_SEED, Config
from tuning.storage.record import TrialRecord, rank_trials

_Config = TypeVar("_Config", bound=Config)


@dataclass(frozen=True)
class Stage:
    """One stage. A search without stages has a single one."""

    index: int
    """Index in `search.stages`, from 0."""
    count: int
    study: StudyConfig
    """The stage as a study: its own budget and images, other stages' parameters fixed, no stages."""
    past: tuple[TrialRecord, ...]
    """The stage's own trials so far; `params` holds only the parameters that this stage varies."""
    earlier: tuple[TrialRecord, ...]
    """Trials of the previous stages."""

    @property
    def number(self) -> int:
        """Counted from 1, as recorded and shown."""
        return self.index + 1

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far, which may be the earlier trial that this stage started from; None without any."""
        return next(iter(_ranked(self)), None)

    def __str__(self) -> str:
        return f"stage {self.number} of {self.count}"


def stage_count(study: StudyConfig) -> int:
    """Number of stages in the study's search; 1 without `search.stages`."""
    return max(1, len(study.search.stages))


def make_stage(study: StudyConfig, index: int, trials: Sequence[TrialRecord] = ()) -> Stage:
    """The stage `index`, given these trials of the study.

    An earlier stage without results changes nothing in the study file; `plan` relies on that.
    """
    searched = [trial for trial in trials if trial.source != "confirm"]
    if not study.search.stages:
        return Stage(0, 1, study, tuple(searched), ())
    base = study
    for before in range(index):
        base = _handed_on(base, _stage_after(base, before, searched), study.search.stages[before].top)
    return _stage_after(base, index, searched)


def _stage_after(base: StudyConfig, index: int, searched: Sequence[TrialRecord]) -> Stage:
    study = _study_of(base, index)
    own = [trial for trial in searched if trial.stage == index + 1]
    past = [replace(trial, params=_only(study.space, trial.params)) for trial in own]
    earlier = [trial for trial in searched if trial.stage <= index]
    return Stage(index, len(base.search.stages), study, tuple(past), tuple(earlier))


def _study_of(base: StudyConfig, index: int) -> StudyConfig:
    """The stage's own study, given the base after the earlier stages."""
    stage = base.search.stages[index]
    data = _set(base.data, train_fraction=stage.train_fraction, image_size=stage.image_size)
    search = base.search.model_copy(
        update={
            "stages": (),
            "searcher": stage.searcher or base.search.searcher,
            "scheduler": stage.scheduler or base.search.scheduler,
            "trials": stage.trials,
            "total_epochs": stage.total_epochs,
            "patience": stage.patience,
            "first": base.search.first if index == 0 else (),
            "warm_start": base.search.warm_start if index == 0 else None,
            # One seed would draw the same quantiles in every stage.
            "seed": (base.search.seed + index) % (MAX_SEED + 1),
            # Other images have another attainable accuracy.
            "target": base.search.target if data == base.data else None,
        }
    )
    return base.model_copy(
        update={
            "data": data,
            "training": _set(base.training, max_epochs=stage.max_epochs),
            "search": search,
            "space": {path: base.space[path] for path in base.space if path in stage.parameters},
        }
    )


def _handed_on(base: StudyConfig, stage: Stage, top: int) -> StudyConfig:
    """The base after the stage: the best values fixed, the ranges narrowed to the best trials."""
    best = stage.best
    if best is None or best not in stage.past:  # its starting point is still the best
        fixed: dict[str, Any] = {}
    else:
        config = compose(base, best.params)
        fixed = {section: getattr(config, section) for section in TrialConfig.model_fields}
    space = _narrowed(base, stage, top) if top > 1 else {}
    return base.model_copy(update={**fixed, "space": {**base.space, **space}})


def _narrowed(base: StudyConfig, stage: Stage, top: int) -> dict[str, Parameter]:
    """The stage's parameters, each narrowed to the tried values next to those of the best `top` trials."""
    ranked = rank_trials(stage.past, base.search.ranking)
    narrowed = {}
    for path, parameter in stage.study.space.items():
        good, tried = _values(path, parameter, ranked[:top]), _values(path, parameter, ranked)
        if good:
            narrowed[path] = _around(parameter, good, tried)
    return narrowed


def _values(path: str, parameter: Parameter, trials: Sequence[TrialRecord]) -> list[Any]:
    """The trials' values of the parameter that it allows: the base may be outside its range."""
    values = (trial.params[path] for trial in trials if path in trial.params)
    return [value for value in values if parameter.has(value)]


def _around(parameter: Parameter, good: list[Any], tried: list[Any]) -> Parameter:
    if parameter.choices is not None:
        return parameter.model_copy(update={"choices": [choice for choice in parameter.choices if choice in good]})
    below = [value for value in tried if value < min(good)]
    above = [value for value in tried if value > max(good)]
    low, high = max(below, default=parameter.low), min(above, default=parameter.high)
    return parameter.model_copy(update={"low": low, "high": high})


def _ranked(stage: Stage) -> list[TrialRecord]:
    """The stage's trials, best first, with the trial of its starting point if an earlier stage trained that."""
    start = compose(stage.study, {})
    return rank_trials(
        [*(trial for trial in stage.earlier if trial.config == start), *stage.past], stage.study.search.ranking
    )


def _only(space: dict[str, Parameter], params: dict[str, Value]) -> dict[str, Value]:
    return {path: value for path, value in params.items() if path in space}


def _set(config: _Config, **values: Any) -> _Config:
    """The configuration with the values that are not None."""
    return config.model_copy(update={name: value for name, value in values.items() if value is not None})

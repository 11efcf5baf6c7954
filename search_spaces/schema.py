"""The study file's typed schema: base configuration, space, search, resources."""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ByteSize, Field, model_validator

from search_spaces.search_options import SchedulerConfig, SearcherConfig, StageConfig
from trainables.config import Config, TrialConfig
from trainables.config.base import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from trainables.config.objective import Objective

Scalar = bool | int | float | str | None
Value = Scalar | list[Any]
"""What one parameter can be set to."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def _seconds(value: object) -> object:
    """`8h`, `1h30m`, `90s` to seconds; numbers pass through; anything else is left for pydantic to refuse."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"not a duration: {value!r}; write seconds or for example 90s, 30m, 8h, 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


Duration = Annotated[PositiveFloat, BeforeValidator(_seconds)]
"""Seconds, written as a number or as `8h`, `30m`, `90s`."""


class Parameter(Config):
    """One parameter that varies: either `choices`, or `low` and `high`."""

    choices: Annotated[list[Value], Field(min_length=1)] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Search the logarithm."""
    step: int | float | None = None
    """Distance between neighbouring values; without it a float range is continuous."""
    when: dict[str, Value] | None = None
    """The parameter exists only where each named key has this value, or one of these."""

    @model_validator(mode="after")
    def _one_kind_of_range(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("give either choices, or low and high (with log or step), not both")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give choices: [...], or both low and high")
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, got {self.low}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0, got {self.step}")
        return self

    def has(self, value: Value) -> bool:
        """Whether the parameter can have this value."""
        if self.choices is not None:
            return value in self.choices
        if not isinstance(value, int | float) or isinstance(value, bool) or self.low is None or self.high is None:
            return False
        steps = (value - self.low) / (self.step or 1)
        return self.low <= value <= self.high and (self.step is None or math.isclose(steps, round(steps), abs_tol=1e-9))


class SearchConfig(Config):
    """How to search and what it may cost."""

    objective: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    """What the champion is best in; by its best epoch."""
    second_objective: Literal["parameters", "macs"] | None = None
    """Size of the model, to be kept small at the same time: the study looks for the best trade-offs."""
    searcher: SearcherConfig = Field(default="tpe", validate_default=True)
    """What to try next: a name, or `{name: ..., options}`; `tune-cli zoo searchers`."""
    scheduler: SchedulerConfig = Field(default="asha", validate_default=True)
    """What to stop early: a name, or `{name: ..., options}`; `tune-cli zoo schedulers`."""
    trials: PositiveInt = 20
    """Trials to train, counting those stopped early or failed, not the infeasible ones or repeats."""
    time_budget: Duration | None = None
    """Wall-clock time of the search: `8h`, `30m`, or seconds. Data preparation and the final report come on top."""
    total_epochs: PositiveInt | None = None
    """Epochs that all trials together may train; running trials are stopped when they are spent."""
    target: float | None = None
    """The search ends as soon as the objective is this good."""
    patience: PositiveInt | None = None
    """The search ends after this many finished trials without a better one."""
    first: tuple[dict[str, Value], ...] = ()
    """Configurations to try before the searcher chooses, each a map of the space's paths to values; what it leaves out
    is as in the base configuration, which is always the very first."""
    warm_start: str | None = None
    """Name of another study on the same images, in the same storage: the searcher learns from its trials, too."""
    stages: tuple[StageConfig, ...] = ()
    """Rounds, each with its own parameters and budget, each from where the one before left off. `trials`,
    `total_epochs` and `patience` are then the rounds' own; `time_budget` and `target` are the whole study's."""
    seed: int = Field(default=0, ge=0)
    keep_checkpoints: PositiveInt = 3
    """Checkpoints of this many best trials stay on disk; with `second_objective`, those of all best trade-offs, too."""

    @property
    def ranking(self) -> Objective:
        """How epochs and trials are ordered."""
        return Objective(metric=self.objective)

    @property
    def mode(self) -> Literal["max", "min"]:
        """Direction of the objective."""
        return self.ranking.mode

    @property
    def trials_in_all(self) -> int:
        """Trials of all rounds together."""
        return sum(stage.trials for stage in self.stages) or self.trials


class ConfirmConfig(Config):
    """Retraining the best trials with fresh seeds, in full, before a difference is believed."""

    top: NonNegativeInt = 0
    """This many best trials are retrained; 0: none."""
    seeds: Annotated[int, Field(ge=2)] = 3
    """Fresh seeds for each of them."""


class ResourcesConfig(Config):
    """What one trial occupies; as many run at once as fit."""

    cpus_per_trial: PositiveInt = 1
    gpus_per_trial: NonNegativeFloat = 0.0
    """May be a fraction: 0.25 puts four trials on one GPU."""
    memory_per_trial: Annotated[ByteSize, Field(gt=0)] | None = None
    """What one trial may add to its worker's memory, in bytes or as `4GiB`; a trial that needs more is infeasible.
    GPU memory has its own limit."""
    max_concurrent: PositiveInt | None = None
    """Upper limit of trials at once."""


class StudyConfig(TrialConfig):
    """One study file: a trial's base configuration and what to vary in it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Letters, digits, `.`, `_`, `-`; the folder and the MLflow names are made of it."""
    search: SearchConfig = SearchConfig()
    resources: ResourcesConfig = ResourcesConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    space: dict[str, Parameter] = Field(min_length=1, examples=["model.filters: {choices: [16, 32]}"])
    """Path of a base field, for example `model.filters`, to what it may be."""

"""The study file's typed schema: base configuration, space, search, resources."""

import math
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, model_validator

from search_spaces.search_options import ALSO, SchedulerConfig, SearcherConfig, StageConfig
from trainables.config import Config, TrialConfig, TrialSections
from trainables.config.base import MAX_LAYERS, MAX_PARAMETERS, Count, Name, Number, Seconds, Seed, TotalEpochs
from trainables.config.objective import Objective

Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""A whole number of any field; as far as a float counts without gaps, too."""
Text = Annotated[str, Field(max_length=4_095)]
Scalar = bool | Whole | Number | Text | None
Value = Scalar | Annotated[list[Scalar], Field(max_length=MAX_LAYERS)]
"""What one parameter can be set to."""
Values = Annotated[list[Value], Field(max_length=10_000)]
Wanted = Scalar | Annotated[list[Value], Field(max_length=1_000)]
"""What a condition asks for: a value, or a list of those that will do."""

Configuration = Annotated[dict[Name, Value], Field(max_length=MAX_PARAMETERS)]
"""Paths of fields to values."""

_MAX_STEPS = 1_000_000
"""Values of a range with a step. None is ever listed, but what cannot be told apart in a plot need not be searched."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def _seconds(value: object) -> object:
    """`8h`, `1h30m`, `90s` to seconds; numbers pass through; anything else is left for pydantic to refuse."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"not a duration: {value[:80]!r}; write seconds or for example 90s, 30m, 8h, 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


Duration = Annotated[
    Seconds,
    BeforeValidator(_seconds),
    Field(json_schema_extra={ALSO: {"type": "string", "pattern": rf"^\s*(?=\d){_DURATION.pattern}\s*$"}}),
]
"""Seconds, up to ten years, written as a number or as `8h`, `30m`, `90s`."""


def _short(size: object) -> object:
    """Leave sizes to pydantic, which multiplies floats: of three hundred digits it would make infinitely many bytes."""
    if isinstance(size, str) and len(size) > 30:
        raise ValueError(f"got {size[:30]!r}...; write bytes, or for example 4GiB")
    return size


def _shareable(gpus: float) -> float:
    if 0.0 < gpus < 0.0001:
        raise ValueError(f"got {gpus}; Ray shares a GPU among at most 10,000 trials: give 0, or at least 0.0001")
    return gpus


class Parameter(Config):
    """One parameter that varies: either `choices`, or `low` and `high`."""

    choices: Annotated[Values, Field(min_length=1)] | None = None
    low: Whole | Number | None = None
    high: Whole | Number | None = None
    log: bool = False
    """Search the logarithm."""
    step: Whole | Number | None = None
    """Distance between neighbouring values; without it a float range is continuous."""
    when: Annotated[dict[Name, Wanted], Field(max_length=MAX_PARAMETERS)] | None = None
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
        if self.step is not None and (self.high - self.low) / self.step > _MAX_STEPS:
            raise ValueError(
                f"step {self.step} makes {(self.high - self.low) / self.step:.3g} values of {self.low} to {self.high}, "
                f"at most {_MAX_STEPS:,} are searched; give a larger step, or none for a continuous range"
            )
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
    trials: Count = 20
    """Trials to train, counting those stopped early or failed, not the infeasible ones or repeats."""
    time_budget: Duration | None = None
    """Wall-clock time of the search: `8h`, `30m`, or seconds. Data preparation and the final report come on top."""
    total_epochs: TotalEpochs | None = None
    """Epochs that all trials together may train; running trials are stopped when they are spent."""
    target: Number | None = None
    """The search ends as soon as the objective is this good."""
    patience: Count | None = None
    """The search ends after this many finished trials without a better one."""
    first: Annotated[tuple[Configuration, ...], Field(max_length=1_000)] = ()
    """Configurations to try before the searcher chooses, each a map of the space's paths to values; what it leaves out
    is as in the base configuration, which is always the very first."""
    warm_start: Name | None = None
    """Name of another study on the same images, in the same storage: the searcher learns from its trials, too."""
    stages: Annotated[tuple[StageConfig, ...], Field(max_length=20)] = ()
    """Stages, each with its own parameters and budget, each from where the one before left off. `trials`,
    `total_epochs` and `patience` are then the stages' own; `time_budget` and `target` are the whole study's."""
    seed: Seed = 0
    keep_checkpoints: Count = 3
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
        """Trials of all stages together."""
        return sum(stage.trials for stage in self.stages) or self.trials


class ConfirmConfig(Config):
    """Retraining the best trials with fresh seeds, in full, before a difference is believed."""

    top: Annotated[int, Field(ge=0, le=10_000)] = 0
    """This many best trials are retrained; 0: none."""
    seeds: Annotated[int, Field(ge=2, le=1_000)] = 3
    """Fresh seeds for each of them."""


class ResourcesConfig(Config):
    """What one trial occupies; as many run at once as fit."""

    cpus_per_trial: Annotated[int, Field(ge=1, le=10_000)] = 1
    gpus_per_trial: Annotated[float, Field(ge=0.0, le=1_000.0), AfterValidator(_shareable)] = 0.0
    """May be a fraction: 0.25 puts four trials on one GPU."""
    memory_per_trial: Annotated[ByteSize, Field(gt=0, le=2**50), BeforeValidator(_short)] | None = None
    """What one trial may add to its worker's memory, in bytes or as `4GiB`; a trial that needs more is infeasible.
    GPU memory has its own limit."""
    max_concurrent: Count | None = None
    """Upper limit of trials at once."""


class StudyConfig(TrialSections):
    """One study file: the sections of a base configuration, and what to vary in it. A study is not a trial."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Letters, digits, `.`, `_`, `-`; the folder and the MLflow names are made of it."""
    search: SearchConfig = SearchConfig()
    resources: ResourcesConfig = ResourcesConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    space: dict[Name, Parameter] = Field(
        min_length=1, max_length=MAX_PARAMETERS, examples=["model.filters: {choices: [16, 32]}"]
    )
    """Path of a base field, for example `model.filters`, to what it may be."""

    @property
    def base(self) -> TrialConfig:
        """The base configuration: the trial that sets none of the space's parameters."""
        return TrialConfig.model_construct(**{name: getattr(self, name) for name in TrialConfig.model_fields})

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
"""Integers that a float represents exactly."""
Text = Annotated[str, Field(max_length=4_095)]
Scalar = bool | Whole | Number | Text | None
Value = Scalar | Annotated[list[Scalar], Field(max_length=MAX_LAYERS)]
"""Value of one parameter."""
Values = Annotated[list[Value], Field(max_length=10_000)]
Wanted = Scalar | Annotated[list[Value], Field(max_length=1_000)]
"""Right-hand side of a condition: one value, or a list of accepted values."""

Configuration = Annotated[dict[Name, Value], Field(max_length=MAX_PARAMETERS)]
"""Field paths to values."""

_MAX_STEPS = 1_000_000
"""Maximum number of values of a range with a step. A finer step makes no visible difference."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def _seconds(value: object) -> object:
    """Convert `8h`, `1h30m`, `90s` to seconds. Non-strings are passed through for pydantic to check."""
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
    """Refuse very long sizes: pydantic converts them to floats, and 300 digits would become infinity."""
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
    """Distance between adjacent values; without it a float range is continuous."""
    when: Annotated[dict[Name, Wanted], Field(max_length=MAX_PARAMETERS)] | None = None
    """The parameter exists only if each named key has this value, or one of these values."""

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
            raise ValueError("log and step cannot be combined")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0, got {self.step}")
        if self.step is not None and (self.high - self.low) / self.step > _MAX_STEPS:
            raise ValueError(
                f"step {self.step} makes {(self.high - self.low) / self.step:.3g} values from {self.low} to "
                f"{self.high}; at most {_MAX_STEPS:,} are allowed; give a larger step, or none for a continuous range"
            )
        return self

    def has(self, value: Value) -> bool:
        """Whether the parameter can take this value."""
        if self.choices is not None:
            return value in self.choices
        if not isinstance(value, int | float) or isinstance(value, bool) or self.low is None or self.high is None:
            return False
        steps = (value - self.low) / (self.step or 1)
        return self.low <= value <= self.high and (self.step is None or math.isclose(steps, round(steps), abs_tol=1e-9))


class SearchConfig(Config):
    """How to search, and the search budget."""

    objective: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    """Metric that the champion is best in, at its best epoch."""
    second_objective: Literal["parameters", "macs"] | None = None
    """Model size to minimize at the same time: the study looks for the best trade-offs."""
    searcher: SearcherConfig = Field(default="tpe", validate_default=True)
    """What to try next: a name, or `{name: ..., options}`; `tune-cli zoo searchers`."""
    scheduler: SchedulerConfig = Field(default="asha", validate_default=True)
    """What to stop early: a name, or `{name: ..., options}`; `tune-cli zoo schedulers`."""
    trials: Count = 20
    """Trials to train. Stopped and failed trials count; infeasible ones and repeats do not."""
    time_budget: Duration | None = None
    """Wall-clock time of the search: `8h`, `30m`, or seconds. Excludes data preparation and the final report."""
    total_epochs: TotalEpochs | None = None
    """Total epochs of all trials; running trials are stopped when this is reached."""
    target: Number | None = None
    """The search ends once the objective is this good."""
    patience: Count | None = None
    """The search ends after this many finished trials without improvement."""
    first: Annotated[tuple[Configuration, ...], Field(max_length=1_000)] = ()
    """Configurations to try before the searcher's own, each a mapping of paths in the space to values. Missing paths
    keep their base value. The base configuration itself is always tried first."""
    warm_start: Name | None = None
    """Name of another study on the same images, in the same storage, whose trials the searcher also learns from."""
    stages: Annotated[tuple[StageConfig, ...], Field(max_length=20)] = ()
    """Stages, each with its own parameters and budget, each starting from the result of the one before. `trials`,
    `total_epochs` and `patience` are then set per stage; `time_budget` and `target` apply to the whole study."""
    seed: Seed = 0
    keep_checkpoints: Count = 3
    """Number of best trials whose checkpoints are kept; with `second_objective`, also those of all best trade-offs."""

    @property
    def ranking(self) -> Objective:
        """How epochs and trials are ranked."""
        return Objective(metric=self.objective)

    @property
    def mode(self) -> Literal["max", "min"]:
        """Direction of the objective."""
        return self.ranking.mode

    @property
    def trials_in_all(self) -> int:
        """Total trials of all stages."""
        return sum(stage.trials for stage in self.stages) or self.trials


class ConfirmConfig(Config):
    """Retrains the best trials in full with fresh seeds, to check that a difference is not luck."""

    top: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Number of best trials to retrain; 0: none."""
    seeds: Annotated[int, Field(ge=2, le=1_000)] = 3
    """Fresh seeds per trial."""


class ResourcesConfig(Config):
    """Resources of one trial; as many trials run at once as fit."""

    cpus_per_trial: Annotated[int, Field(ge=1, le=10_000)] = 1
    gpus_per_trial: Annotated[float, Field(ge=0.0, le=1_000.0), AfterValidator(_shareable)] = 0.0
    """May be a fraction: 0.25 puts four trials on one GPU."""
    memory_per_trial: Annotated[ByteSize, Field(gt=0, le=2**50), BeforeValidator(_short)] | None = None
    """Memory that one trial may add to its worker, in bytes or as `4GiB`; a trial that needs more is infeasible.
    Does not include GPU memory."""
    max_concurrent: Count | None = None
    """Maximum number of trials at once."""


class StudyConfig(TrialSections):
    """One study file: the sections of a base configuration, and what to vary in it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Letters, digits, `.`, `_`, `-`; used for the folder and the MLflow names."""
    search: SearchConfig = SearchConfig()
    resources: ResourcesConfig = ResourcesConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    space: dict[Name, Parameter] = Field(
        min_length=1, max_length=MAX_PARAMETERS, examples=["model.filters: {choices: [16, 32]}"]
    )
    """Path of a base field, for example `model.filters`, to its range or choices."""

    @property
    def base(self) -> TrialConfig:
        """The base configuration: the trial that sets none of the space's parameters."""
        return TrialConfig.model_construct(**{name: getattr(self, name) for name in TrialConfig.model_fields})

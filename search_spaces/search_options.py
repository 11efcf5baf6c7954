"""Searchers, schedulers and stages with their options. `name` selects the type; a plain name means all defaults."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from trainables.config.base import MAX_PARAMETERS, Config, Count, Epochs, Name, Pixels, TotalEpochs

ALSO = "x-also"
"""Key in a field's JSON schema for values that are accepted and converted before validation."""


def _from_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


ReductionFactor = Annotated[int, Field(ge=2, le=1_000)]

Population = Annotated[int, Field(ge=2, le=100_000)]


class TpeConfig(Config):
    """Tree-structured Parzen estimator, multivariate, grouped by condition: the default, works for any space."""

    name: Literal["tpe"] = "tpe"
    startup_trials: Count = 10
    """Random proposals before the model is used."""


class RandomConfig(Config):
    """Independent random draws: the baseline for the other searchers."""

    name: Literal["random"] = "random"


class GridConfig(Config):
    """Every configuration once, in an order shuffled by the seed; needs choices, integers or a step."""

    name: Literal["grid"] = "grid"


class GpConfig(Config):
    """Gaussian process with expected improvement, for up to a few hundred trials; does not support `when`."""

    name: Literal["gp"] = "gp"
    startup_trials: Count = 10
    """Random proposals before the model is used."""


class CmaEsConfig(Config):
    """Covariance matrix adaptation evolution strategy, for numeric spaces and many trials; no `when`, no `choices`."""

    name: Literal["cma_es"] = "cma_es"
    population: Population | None = None
    """Trials per generation; default 4 + 3 ln(number of parameters)."""


class Nsga2Config(Config):
    """Genetic search, for two objectives; parameters under `when` are drawn at random."""

    name: Literal["nsga2"] = "nsga2"
    population: Population = 20
    """Trials per generation."""


SearcherConfig = Annotated[
    TpeConfig | RandomConfig | GridConfig | GpConfig | CmaEsConfig | Nsga2Config,
    Field(discriminator="name", json_schema_extra={ALSO: {"type": "string"}}),
    BeforeValidator(_from_name),
]


class AshaConfig(Config):
    """Asynchronous successive halving: at each rung the best 1/`reduction_factor` continue."""

    name: Literal["asha"] = "asha"
    grace_epochs: Epochs = 1
    """The first rung."""
    reduction_factor: ReductionFactor = 3


class HyperbandConfig(Config):
    """Asynchronous Hyperband: ASHA with several brackets; each trial belongs to one."""

    name: Literal["hyperband"] = "hyperband"
    grace_epochs: Epochs = 1
    """The first rung of the first bracket; each further bracket skips one more rung."""
    reduction_factor: ReductionFactor = 3
    brackets: Annotated[int, Field(ge=1, le=100)] = 3


class MedianConfig(Config):
    """Median stopping: stops a trial whose best is worse than the median of the others' running means."""

    name: Literal["median"] = "median"
    grace_epochs: Epochs = 1
    """Epochs before a trial may be stopped."""
    min_trials: Count = 3
    """Other trials that must have reached the same epoch."""


class NoSchedulerConfig(Config):
    """Every trial runs to its last epoch."""

    name: Literal["none"] = "none"


SchedulerConfig = Annotated[
    AshaConfig | HyperbandConfig | MedianConfig | NoSchedulerConfig,
    Field(discriminator="name", json_schema_extra={ALSO: {"type": "string"}}),
    BeforeValidator(_from_name),
]


class StageConfig(Config):
    """One stage of a staged search: some parameters vary, the others keep the values of the previous stages."""

    parameters: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MAX_PARAMETERS)]
    """Paths of `space` that vary in this stage."""
    trials: Count
    """Trials to train, counted as in `search.trials`."""
    searcher: SearcherConfig | None = None
    """What to try next; default `search.searcher`."""
    scheduler: SchedulerConfig | None = None
    """What to stop early; default `search.scheduler`."""
    total_epochs: TotalEpochs | None = None
    """Total epochs of the stage's trials."""
    patience: Count | None = None
    """The stage ends after this many finished trials without improvement."""
    max_epochs: Epochs | None = None
    """Epochs per trial; default `training.max_epochs`."""
    train_fraction: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Share of the training images used, for a cheap stage; default `data.train_fraction`."""
    image_size: Pixels | None = None
    """Pixels, for a cheap stage; default `data.image_size`."""
    top: Count = 1
    """How many of the stage's best trials shape later stages. Later stages that do not vary a parameter use its best
    value. A later stage that varies it again searches the whole range if `top` is 1, else around the best `top` trials:
    among their choices, or from the nearest value tried below theirs to the nearest above."""

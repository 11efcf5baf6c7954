"""Searchers and schedulers with their options, told apart by `name` (a plain name means all defaults); stages."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from trainables.config.base import MAX_PARAMETERS, Config, Count, Epochs, Name, Pixels, TotalEpochs

ALSO = "x-also"
"""In a field's JSON schema: what is accepted before validation makes it one of the field's types."""


def _from_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


ReductionFactor = Annotated[int, Field(ge=2, le=1_000)]

Population = Annotated[int, Field(ge=2, le=100_000)]


class TpeConfig(Config):
    """Tree-structured Parzen estimator, multivariate, grouped by condition: the default, good for every space."""

    name: Literal["tpe"] = "tpe"
    startup_trials: Count = 10
    """Random proposals before the model is used."""


class RandomConfig(Config):
    """Independent random draws: the baseline that every other searcher has to beat."""

    name: Literal["random"] = "random"


class GridConfig(Config):
    """Every configuration once, in an order shuffled by the seed; needs choices, integers or a step."""

    name: Literal["grid"] = "grid"


class GpConfig(Config):
    """Gaussian process with expected improvement, for up to some hundred trials; refuses `when`."""

    name: Literal["gp"] = "gp"
    startup_trials: Count = 10
    """Random proposals before the model is used."""


class CmaEsConfig(Config):
    """Covariance matrix adaptation evolution strategy, for numbers and many trials; refuses `when` and `choices`."""

    name: Literal["cma_es"] = "cma_es"
    population: Population | None = None
    """Trials a generation; default 4 + 3 ln(number of parameters)."""


class Nsga2Config(Config):
    """Genetic search, for two objectives; parameters under `when` are drawn at random."""

    name: Literal["nsga2"] = "nsga2"
    population: Population = 20
    """Trials a generation."""


SearcherConfig = Annotated[
    TpeConfig | RandomConfig | GridConfig | GpConfig | CmaEsConfig | Nsga2Config,
    Field(discriminator="name", json_schema_extra={ALSO: {"type": "string"}}),
    BeforeValidator(_from_name),
]


class AshaConfig(Config):
    """Asynchronous successive halving: at each rung the best 1/`reduction_factor` go on."""

    name: Literal["asha"] = "asha"
    grace_epochs: Epochs = 1
    """The first rung."""
    reduction_factor: ReductionFactor = 3


class HyperbandConfig(Config):
    """Asynchronous Hyperband: ASHA with several first rungs, each trial bound to one of them."""

    name: Literal["hyperband"] = "hyperband"
    grace_epochs: Epochs = 1
    """The first rung of the first bracket; each further bracket leaves out one rung more."""
    reduction_factor: ReductionFactor = 3
    brackets: Annotated[int, Field(ge=1, le=100)] = 3


class MedianConfig(Config):
    """Median stopping: a trial whose best is below the median of the others' running means ends."""

    name: Literal["median"] = "median"
    grace_epochs: Epochs = 1
    """Epochs before a trial may be stopped."""
    min_trials: Count = 3
    """Other trials that must have come as far."""


class NoSchedulerConfig(Config):
    """Every trial runs to its last epoch."""

    name: Literal["none"] = "none"


SchedulerConfig = Annotated[
    AshaConfig | HyperbandConfig | MedianConfig | NoSchedulerConfig,
    Field(discriminator="name", json_schema_extra={ALSO: {"type": "string"}}),
    BeforeValidator(_from_name),
]


class StageConfig(Config):
    """One stage of a staged search: some parameters vary, the others are as the stages before left them."""

    parameters: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MAX_PARAMETERS)]
    """Paths of `space` that vary in this stage."""
    trials: Count
    """Trials to train, counted as in `search.trials`."""
    searcher: SearcherConfig | None = None
    """What to try next; default `search.searcher`."""
    scheduler: SchedulerConfig | None = None
    """What to stop early; default `search.scheduler`."""
    total_epochs: TotalEpochs | None = None
    """Epochs that the stage's trials together may train."""
    patience: Count | None = None
    """The stage ends after this many finished trials without a better one."""
    max_epochs: Epochs | None = None
    """Epochs of a trial; default `training.max_epochs`."""
    train_fraction: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Share of the training images used, for a cheap stage; default `data.train_fraction`."""
    image_size: Pixels | None = None
    """Pixels, for a cheap stage; default `data.image_size`."""
    top: Count = 1
    """How many of the stage's best decide what comes after it. Its best values are fixed for all later stages that do
    not vary them again. A later stage that does searches the whole range if this is 1, else around the best `top`
    trials: among their choices, or from the nearest value tried below theirs to the nearest above."""

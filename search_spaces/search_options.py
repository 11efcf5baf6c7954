"""Searchers and schedulers with their options, told apart by `name`; a plain name means all defaults."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from trainables.config.base import Config, PositiveInt


def _from_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class TpeConfig(Config):
    """Tree-structured Parzen estimator, multivariate, grouped by condition."""

    name: Literal["tpe"] = "tpe"
    startup_trials: PositiveInt = 10
    """Random proposals before the model is used."""


class RandomConfig(Config):
    """Independent random draws."""

    name: Literal["random"] = "random"


SearcherConfig = Annotated[TpeConfig | RandomConfig, Field(discriminator="name"), BeforeValidator(_from_name)]


class AshaConfig(Config):
    """Asynchronous successive halving: at each rung the best 1/`reduction_factor` go on."""

    name: Literal["asha"] = "asha"
    grace_epochs: PositiveInt = 1
    """The first rung."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3


class NoSchedulerConfig(Config):
    """Every trial runs to its last epoch."""

    name: Literal["none"] = "none"


SchedulerConfig = Annotated[AshaConfig | NoSchedulerConfig, Field(discriminator="name"), BeforeValidator(_from_name)]

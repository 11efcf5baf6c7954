"""Optimizers, selected by `name`; defaults are torch's unless the field says otherwise."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainables.config.base import Config, Fraction, NonNegativeFloat, PositiveFloat


class _OptimizerBase(Config):
    learning_rate: PositiveFloat = 0.001
    """Learning rate at the end of the warm-up; the schedule multiplies it."""
    weight_decay: NonNegativeFloat = 0.0
    decay_norms_and_biases: bool = True
    """False: no weight decay on normalization layers and biases."""
    backbone_learning_rate_factor: PositiveFloat = 1.0
    """The backbone learns at `learning_rate` times this; the head at `learning_rate`."""


class SgdConfig(_OptimizerBase):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    momentum: Fraction = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs momentum above 0")
        return self


class AsgdConfig(_OptimizerBase):
    """Averaged stochastic gradient descent."""

    name: Literal["asgd"] = "asgd"


class _AdamBase(_OptimizerBase):
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999


class AdamConfig(_AdamBase):
    """Adam with L2 regularization added to the gradient."""

    name: Literal["adam"] = "adam"


class AdamWConfig(_AdamBase):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"


class NAdamConfig(_AdamBase):
    """Adam with Nesterov momentum."""

    name: Literal["nadam"] = "nadam"


class RAdamConfig(_AdamBase):
    """Rectified Adam."""

    name: Literal["radam"] = "radam"


class RmsPropConfig(_OptimizerBase):
    """RMSprop."""

    name: Literal["rmsprop"] = "rmsprop"
    momentum: Fraction = 0.0
    alpha: Fraction = 0.99
    """Smoothing constant."""


class AdagradConfig(_OptimizerBase):
    """Adagrad."""

    name: Literal["adagrad"] = "adagrad"


OptimizerConfig = Annotated[
    SgdConfig | AsgdConfig | AdamConfig | AdamWConfig | NAdamConfig | RAdamConfig | RmsPropConfig | AdagradConfig,
    Field(discriminator="name"),
]
"""An optimizer by `name` with its own parameters."""

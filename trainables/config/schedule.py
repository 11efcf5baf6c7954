"""Learning-rate schedules, selected by `name`. Each gives a factor on the learning rate; time is in epochs."""

from typing import Annotated, Literal

from pydantic import Field

from trainables.config.base import Config, Epochs, EpochsOrNone, Fraction, PositiveFloat


class _ScheduleBase(Config):
    warmup_epochs: EpochsOrNone = 0.0
    """Linear rise from 0 over these epochs before the schedule starts."""


class ConstantConfig(_ScheduleBase):
    """Constant learning rate."""

    name: Literal["none"] = "none"


class StepConfig(_ScheduleBase):
    """Multiplies the rate by `gamma` every `step_epochs`."""

    name: Literal["step"] = "step"
    step_epochs: Epochs = 5
    gamma: PositiveFloat = 0.5


class CosineConfig(_ScheduleBase):
    """Half a cosine down to `final_factor` at `max_epochs`."""

    name: Literal["cosine"] = "cosine"
    final_factor: Fraction = 0.0


class CosineRestartsConfig(_ScheduleBase):
    """Cosine with warm restarts."""

    name: Literal["cosine_restarts"] = "cosine_restarts"
    period_epochs: Epochs = 5
    period_multiplier: Epochs = 2
    final_factor: Fraction = 0.0


class OneCycleConfig(_ScheduleBase):
    """Cosine rise over the first `rise` of all epochs, cosine fall over the rest."""

    name: Literal["one_cycle"] = "one_cycle"
    rise: Fraction = 0.3
    initial_factor: Fraction = 0.04
    final_factor: Fraction = 0.0001


class ExponentialConfig(_ScheduleBase):
    """Multiplies the rate by `gamma` every epoch."""

    name: Literal["exponential"] = "exponential"
    gamma: PositiveFloat = 0.9


class PlateauConfig(_ScheduleBase):
    """Multiplies the rate by `factor` when validation loss has not improved for `patience` epochs."""

    name: Literal["plateau"] = "plateau"
    factor: Fraction = 0.5
    patience: Epochs = 2


ScheduleConfig = Annotated[
    ConstantConfig
    | StepConfig
    | CosineConfig
    | CosineRestartsConfig
    | OneCycleConfig
    | ExponentialConfig
    | PlateauConfig,
    Field(discriminator="name"),
]
"""A learning-rate schedule by `name` with its own parameters."""

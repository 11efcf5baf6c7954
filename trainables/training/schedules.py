"""Learning-rate schedules as pure functions of the epoch, so that a resumed trial needs no state."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trainables.config.base import Config
from trainables.config.schedule import (
    ConstantConfig,
    CosineConfig,
    CosineRestartsConfig,
    ExponentialConfig,
    OneCycleConfig,
    PlateauConfig,
    ScheduleConfig,
    StepConfig,
)


@dataclass(frozen=True)
class Progress:
    """Training progress of a trial."""

    epoch: float
    """Epochs since the end of the warm-up, including the fraction of the current one."""
    max_epochs: float
    """Epochs planned after the warm-up."""
    val_losses: Sequence[float]
    """Validation loss of every epoch so far."""


@dataclass(frozen=True)
class ScheduleEntry:
    """One row of the registry."""

    config: type[Config]
    factor: Callable[[Any, Progress], float]
    """Factor on the learning rate at the given progress."""


def _half_cosine(start: float, end: float, share: float) -> float:
    """From `start` to `end` as `share` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def _constant(config: ConstantConfig, at: Progress) -> float:
    return 1.0


def _step(config: StepConfig, at: Progress) -> float:
    return float(config.gamma ** (math.floor(at.epoch) // config.step_epochs))


def _cosine(config: CosineConfig, at: Progress) -> float:
    return _half_cosine(1.0, config.final_factor, at.epoch / at.max_epochs)


def _cosine_restarts(config: CosineRestartsConfig, at: Progress) -> float:
    period, begun = float(config.period_epochs), 0.0
    while at.epoch >= begun + period:
        begun += period
        period *= config.period_multiplier
    return _half_cosine(1.0, config.final_factor, (at.epoch - begun) / period)


def _one_cycle(config: OneCycleConfig, at: Progress) -> float:
    share = at.epoch / at.max_epochs
    if share < config.rise:
        return _half_cosine(config.initial_factor, 1.0, share / config.rise)
    return _half_cosine(1.0, config.final_factor, (share - config.rise) / (1.0 - config.rise))


def _exponential(config: ExponentialConfig, at: Progress) -> float:
    return float(config.gamma ** math.floor(at.epoch))


def _plateau(config: PlateauConfig, at: Progress) -> float:
    factor, best, waited = 1.0, math.inf, 0
    for loss in at.val_losses:
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited > config.patience:
            factor, waited = factor * config.factor, 0
    return factor


SCHEDULES: dict[str, ScheduleEntry] = {
    "none": ScheduleEntry(ConstantConfig, _constant),
    "step": ScheduleEntry(StepConfig, _step),
    "cosine": ScheduleEntry(CosineConfig, _cosine),
    "cosine_restarts": ScheduleEntry(CosineRestartsConfig, _cosine_restarts),
    "one_cycle": ScheduleEntry(OneCycleConfig, _one_cycle),
    "exponential": ScheduleEntry(ExponentialConfig, _exponential),
    "plateau": ScheduleEntry(PlateauConfig, _plateau),
}


def learning_rate_factor(config: ScheduleConfig, epoch: float, max_epochs: int, val_losses: Sequence[float]) -> float:
    """Factor on the learning rate after `epoch` epochs (a fraction counts the batches of the current one).

    The warm-up rises linearly to 1; the schedule starts after it and spans the remaining epochs.
    """
    if epoch < config.warmup_epochs:
        return epoch / config.warmup_epochs
    remaining = max(max_epochs - config.warmup_epochs, 1.0)
    return SCHEDULES[config.name].factor(config, Progress(epoch - config.warmup_epochs, remaining, val_losses))

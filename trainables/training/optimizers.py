"""Optimizers by name, and their parameter groups."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainables.config.base import Config
from trainables.config.optimizer import (
    AdagradConfig,
    AdamConfig,
    AdamWConfig,
    AsgdConfig,
    NAdamConfig,
    OptimizerConfig,
    RAdamConfig,
    RmsPropConfig,
    SgdConfig,
)
from trainables.models.classifier import backbone_parameters, head_parameters


@dataclass(frozen=True)
class OptimizerEntry:
    """One row of the registry."""

    config: type[Config]
    build: Callable[..., torch.optim.Optimizer]
    options: Callable[[Any], dict[str, Any]]
    """Keyword arguments of `build`, in addition to the parameter groups."""


def _betas(config: Any) -> dict[str, Any]:
    return {"betas": (config.beta1, config.beta2)}


OPTIMIZERS: dict[str, OptimizerEntry] = {
    "sgd": OptimizerEntry(
        SgdConfig, torch.optim.SGD, lambda config: {"momentum": config.momentum, "nesterov": config.nesterov}
    ),
    "asgd": OptimizerEntry(AsgdConfig, torch.optim.ASGD, lambda config: {}),
    "adam": OptimizerEntry(AdamConfig, torch.optim.Adam, _betas),
    "adamw": OptimizerEntry(AdamWConfig, torch.optim.AdamW, _betas),
    "nadam": OptimizerEntry(NAdamConfig, torch.optim.NAdam, _betas),
    "radam": OptimizerEntry(RAdamConfig, torch.optim.RAdam, _betas),
    "rmsprop": OptimizerEntry(
        RmsPropConfig, torch.optim.RMSprop, lambda config: {"momentum": config.momentum, "alpha": config.alpha}
    ),
    "adagrad": OptimizerEntry(AdagradConfig, torch.optim.Adagrad, lambda config: {}),
}


def build_optimizer(config: OptimizerConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Build the optimizer over the trainable parameters of `model`.

    Each group carries `base_lr`, its learning rate before the schedule's factor.
    """
    backbone_rate = config.learning_rate * config.backbone_learning_rate_factor
    groups = [
        *_groups(head_parameters(model), config.learning_rate, config),
        *_groups(backbone_parameters(model), backbone_rate, config),
    ]
    entry = OPTIMIZERS[config.name]
    return entry.build(groups, lr=config.learning_rate, **entry.options(config))


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to its own base times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def _groups(parameters: Iterable[nn.Parameter], rate: float, config: OptimizerConfig) -> list[dict[str, Any]]:
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if config.decay_norms_and_biases:
        split = [(trainable, config.weight_decay)]
    else:
        # Biases and scales of normalization layers are the one-dimensional parameters.
        split = [
            ([parameter for parameter in trainable if parameter.ndim > 1], config.weight_decay),
            ([parameter for parameter in trainable if parameter.ndim <= 1], 0.0),
        ]
    return [
        {"params": members, "lr": rate, "base_lr": rate, "weight_decay": decay} for members, decay in split if members
    ]

"""Checks that an intact checkpoint belongs to this trial: others may have written or changed it."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from trainables.training.checkpoint import Checkpoint

METRICS = ("train_loss", "val_loss", "val_accuracy", "learning_rate", "epoch_seconds")
"""Metrics of each epoch."""


def require_fit(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer, max_epochs: int) -> None:
    """Check everything that loading the checkpoint relies on, before the trial is changed.

    Raises:
        ValueError: how it differs from what this trial would have written.
    """
    _check_history(checkpoint.history, max_epochs)
    _check_model(checkpoint.model, model.state_dict())
    _check_optimizer(checkpoint.optimizer, optimizer.state_dict())
    _check_random_states(checkpoint.random_states)


def _check_history(history: object, max_epochs: int) -> None:
    _require(
        isinstance(history, list) and 0 < len(history) <= max_epochs, "its history is not a list of completed epochs"
    )
    assert isinstance(history, list)
    for number, epoch in enumerate(history, start=1):
        _require(isinstance(epoch, dict) and set(epoch) == set(METRICS), f"epoch {number} has different metrics")
        numbers = [value for value in epoch.values() if type(value) is float and math.isfinite(value)]
        _require(len(numbers) == len(METRICS), f"a metric of epoch {number} is not a finite number")
        _require(0.0 <= epoch["val_accuracy"] <= 1.0, f"the accuracy of epoch {number} is {epoch['val_accuracy']}")


def _check_model(found: object, own: Mapping[str, torch.Tensor]) -> None:
    _require(isinstance(found, Mapping) and set(found) == set(own), "its weights have different names")
    assert isinstance(found, Mapping)
    for name, tensor in own.items():
        same = isinstance(found[name], torch.Tensor) and (found[name].shape, found[name].dtype) == (
            tensor.shape,
            tensor.dtype,
        )
        _require(same, f"its {name} has a different shape or type")


def _check_optimizer(found: object, own: Mapping[str, object]) -> None:
    _require(isinstance(found, Mapping) and set(found) == set(own), "its optimizer state has different parts")
    assert isinstance(found, Mapping)
    groups, own_groups = found["param_groups"], own["param_groups"]
    assert isinstance(own_groups, Sequence)
    _require(isinstance(groups, list) and len(groups) == len(own_groups), "its optimizer has different groups")
    for group, own_group in zip(groups, own_groups, strict=True):
        _require(
            isinstance(group, dict) and set(group) == set(own_group), "its optimizer groups have different options"
        )
        # The learning rate follows the schedule; everything else is in the trial's configuration.
        changed = [name for name in own_group if name not in ("lr", "initial_lr") and group[name] != own_group[name]]
        _require(not changed, f"its optimizer has a different {', '.join(changed)}")
    state = found["state"]
    known = {index for group in own_groups for index in group["params"]}
    _require(isinstance(state, dict) and set(state) <= known, "its optimizer has different parameters")
    for values in state.values():
        _require(isinstance(values, dict) and all(map(_is_state, values.values())), "its optimizer state is damaged")


def _is_state(value: object) -> bool:
    return value is None or isinstance(value, torch.Tensor | int | float)


def _check_random_states(states: object) -> None:
    _require(isinstance(states, dict) and {"batches", "torch"} <= set(states), "its random states are missing")
    assert isinstance(states, dict)
    for name in ("batches", "torch"):
        try:
            torch.Generator().set_state(states[name])
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"its random state {name!r} is invalid ({error})") from error


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)

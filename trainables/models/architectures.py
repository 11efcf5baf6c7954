"""torchvision's classification networks by name."""

import difflib
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision import models

from trainables.errors import InfeasibleError, InputError
from trainables.models.stages import Stage
from trainables.models.torchvision_stages import split_stages


@cache
def architectures() -> tuple[str, ...]:
    """List torchvision's classification networks by name."""
    return tuple(models.list_models(module=models))


def check_architecture(name: str) -> None:
    """Refuse an unknown network.

    Raises:
        InputError: with the nearest names.
    """
    if name not in architectures():
        near = difflib.get_close_matches(name, architectures(), n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise InputError(f"model.architecture: unknown network {name!r}; {hint}`tune-cli zoo models` lists them")


@cache
def stages(name: str) -> tuple[Stage, ...]:
    """List the stages of a network, starting at the input; `freeze_depth` counts them and `cut_at` names one.

    Raises:
        InputError: unknown network.
    """
    check_architecture(name)
    with torch.device("meta"):
        return split_stages(build_trunk(name, _NATIVE_SIZE)).stages


_NATIVE_SIZE = 224


class _ValuesOnCpu(TorchFunctionMode):
    """Lets RegNet be built on `meta`: it computes its widths with small tensors, which need values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.arange, torch.tensor):
            kwargs.setdefault("device", "cpu")
        return func(*args, **kwargs)


def build_trunk(name: str, image_size: int) -> nn.Module:
    """Build the whole torchvision network for three channels, without weights.

    Raises:
        InfeasibleError: the network does not support images of this size.
    """
    if name.startswith("regnet"):
        with _ValuesOnCpu():
            return _build(name)
    if name.startswith("vit"):
        patch = 14 if name == "vit_h_14" else int(name.rsplit("_", 1)[1])
        if image_size % patch:
            raise InfeasibleError(
                f"{name} needs an image size that is a multiple of {patch}, got image_size {image_size}"
            )
        return _build(name, image_size=image_size)
    if name.startswith("maxvit"):
        if image_size % _NATIVE_SIZE:
            raise InfeasibleError(f"{name} needs an image size that is a multiple of 224, got image_size {image_size}")
        return _build(name, input_size=(image_size, image_size))
    if name in ("googlenet", "inception_v3"):
        # The auxiliary classifiers passed gradients to early layers before batch norm existed, which both networks have
        # here. Training uses only the main logits, so they are left out.
        return _build(name, aux_logits=False, init_weights=True)
    return _build(name)


def _build(name: str, **options: Any) -> nn.Module:
    return models.get_model(name, weights=None, **options)

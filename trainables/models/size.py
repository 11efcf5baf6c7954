"""Cost of a network, measured before it is trained."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from trainables.config.models import ModelConfig
from trainables.models.layers import MapShape
from trainables.models.zoo import build_model

_IMAGES = 2
"""Measured on two images and halved: in training, batch norm refuses one image with a one-pixel map."""


@dataclass(frozen=True)
class ModelSize:
    """Cost of a network for one image."""

    parameters: int
    trainable_parameters: int
    macs: int
    """Multiply-accumulates of one forward pass: only convolutions, linear layers and attention."""
    activation_bytes: int
    """Bytes kept from the forward pass for the backward pass, training in 32-bit floats, without the parameters."""


@lru_cache(maxsize=1024)
def measure_size(config: ModelConfig, image_shape: MapShape, classes: int) -> ModelSize:
    """Measure a network on torch's `meta` device: nothing is computed, and a weights file is only checked to fit.

    Raises:
        InfeasibleError: the configuration cannot exist on these images.
        InputError: an unknown architecture or stage, or weights that do not fit.
    """
    with torch.device("meta"):
        model = build_model(config, image_shape, classes).train()
        images = torch.empty(_IMAGES, *image_shape)
    parameters = list(model.parameters())
    saved = _SavedBytes(parameters)
    with FlopCounterMode(display=False) as flops, saved_tensors_hooks(saved.count, lambda tensor: tensor):
        model(images)
    return ModelSize(
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable_parameters=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        macs=flops.get_total_flops() // 2 // _IMAGES,
        activation_bytes=saved.total // _IMAGES,
    )


class _SavedBytes:
    """Counts the memory that autograd saves, each storage once, without the parameters."""

    def __init__(self, present: list[nn.Parameter]) -> None:
        self.total = 0
        self._seen = {parameter.untyped_storage()._cdata for parameter in present}

    def count(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add a tensor; the graph keeps its storage, so the storage's identity stays unique.

        Returns a detached tensor: an output kept by its own graph would never be freed, nor would the network.
        """
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self.total += storage.nbytes()
        return tensor.detach()

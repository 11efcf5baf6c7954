"""Initial weights of layers without pre-trained weights."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import nn

from trainables.models.backbone import Backbone

Initialization = Literal["default", "he", "xavier"]


def _he(weight: torch.Tensor) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


_SCHEMES: dict[str, Callable[[torch.Tensor], object]] = {"he": _he, "xavier": nn.init.xavier_uniform_}


def initialize(module: nn.Module, scheme: Initialization) -> None:
    """Set the weights of every convolution and linear layer by the scheme, and their biases to zero.

    `default` keeps the weights drawn by each layer's constructor. `he`: normal, variance 2 / fan-in (He et al., 2015).
    `xavier`: uniform, variance 2 / (fan-in + fan-out) (Glorot and Bengio, 2010). Pre-trained layers are not changed.
    """
    if scheme == "default":
        return
    for layer in _untrained_layers(module):
        _SCHEMES[scheme](layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _untrained_layers(module: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    trunks = [part.trunk for part in module.modules() if isinstance(part, Backbone) and part.pretrained]
    pretrained = {layer for trunk in trunks for layer in trunk.modules()}
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer not in pretrained:
            yield layer

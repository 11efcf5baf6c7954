"""torchvision's classification networks, cut and frozen as told, with a new head."""

from functools import lru_cache

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.config.models import BackboneConfig
from trainables.errors import InfeasibleError, InputError
from trainables.models.architectures import Anatomy, Stage, Step, build_trunk, check_architecture, dissect, run_steps
from trainables.models.heads import build_convolutional_head, build_vector_head
from trainables.models.layers import MapShape
from trainables.models.weights import load_weights, locate_weights


class Backbone(nn.Module):
    """A torchvision network without its classifier (the trunk), and a head. The trunk keeps torchvision's keys."""

    def __init__(self, trunk: nn.Module, steps: tuple[Step, ...], head: nn.Module, *, pretrained: bool) -> None:
        """Put the two together.

        Args:
            trunk: holds the submodules that `steps` name.
            steps: images to what the head takes.
            head: to logits, N x classes.
            pretrained: the trunk carries weights that initialisation must leave alone.
        """
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.pretrained = pretrained
        self._steps = steps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of normalised images, N x C x H x W."""
        return self.head(run_steps(self.trunk, self._steps, images))  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode; frozen batch norms stay in evaluation mode, or their statistics would drift."""
        super().train(mode)
        for layer in self.trunk.modules():
            if isinstance(layer, _BatchNorm) and not any(p.requires_grad for p in layer.parameters()):
                layer.eval()
        return self


def build_backbone(config: BackboneConfig, image_shape: MapShape, classes: int) -> Backbone:
    """Build the trunk, load its weights, freeze it as told, and put a head on it.

    Raises:
        InfeasibleError: an impossible freeze depth or cut, or images that shrink below one pixel.
        InputError: unknown architecture, stage or weights, or weights that do not fit.
    """
    check_architecture(config.architecture)
    weights = locate_weights(config)
    wants_map = config.head == "conv"
    shape = _feature_shape(config.architecture, config.cut_at, wants_map, image_shape)
    trunk = build_trunk(config.architecture, image_shape[1])
    anatomy = dissect(trunk)
    stages = _kept_stages(config.architecture, config.cut_at, anatomy)
    frozen = _frozen_paths(config, stages)
    known_keys = set(trunk.state_dict())
    _adapt_channels(trunk, image_shape[0])
    _prune(trunk, anatomy, stages, tail=_uses_tail(anatomy, stages, wants_map))
    if weights is not None:
        load_weights(trunk, weights, known_keys)
    for name, parameter in trunk.named_parameters():
        parameter.requires_grad_(not (config.freeze_depth == "all" or is_under(name, frozen)))
    head = _head(config, shape, classes)
    steps = _steps(config.architecture, anatomy, stages, wants_map)
    return Backbone(trunk, steps, head, pretrained=weights is not None).train()

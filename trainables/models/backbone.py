"""torchvision's classification networks, cut and frozen as configured, with a new head."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.config.models import BackboneConfig
from trainables.config.references import secrets_hidden
from trainables.errors import InfeasibleError, InputError
from trainables.models.architectures import build_trunk, check_architecture
from trainables.models.backbone_heads import build_convolutional_head, build_vector_head
from trainables.models.layers import MapShape
from trainables.models.stages import Stage, StageLayout, Step, run_steps
from trainables.models.torchvision_stages import split_stages
from trainables.models.weights import load_weights, locate_weights


class Backbone(nn.Module):
    """A torchvision network without its classifier (the trunk), and a head. The trunk keeps torchvision's keys."""

    def __init__(self, trunk: nn.Module, steps: tuple[Step, ...], head: nn.Module, *, pretrained: bool) -> None:
        """Combine a trunk and a head.

        Args:
            trunk: contains the submodules named in `steps`.
            steps: from images to the head's input.
            head: from features to logits, N x classes.
            pretrained: the trunk has weights that must not be initialized.
        """
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.pretrained = pretrained
        self._steps = steps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of normalized images, N x C x H x W."""
        return self.head(self.features(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The head's input for normalized images, N x C x H x W: vectors, N x width, or maps, N x c x h x w."""
        return run_steps(self.trunk, self._steps, images)

    @property
    def is_frozen(self) -> bool:
        """Whether only the head is trained."""
        return not any(parameter.requires_grad for parameter in self.trunk.parameters())

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen batch norms stay in evaluation mode, or their statistics would drift.

        A fully frozen trunk stays in evaluation mode too: its dropout would be noise that it cannot adapt to.
        """
        super().train(mode)
        if self.is_frozen:
            self.trunk.eval()
        for layer in self.trunk.modules():
            if isinstance(layer, _BatchNorm) and not any(p.requires_grad for p in layer.parameters()):
                layer.eval()
        return self


def build_backbone(config: BackboneConfig, image_shape: MapShape, classes: int) -> Backbone:
    """Build the trunk, load its weights, freeze it as configured, and add a head.

    Raises:
        InfeasibleError: an impossible freeze depth or cut, or images that shrink below one pixel.
        InputError: unknown architecture, stage or weights, or weights that do not fit.
    """
    check_architecture(config.architecture)
    with secrets_hidden(config.weights):
        weights = locate_weights(config)
    shape = _feature_shape(config.architecture, config.cut_at, config.head == "conv", image_shape)
    trunk = build_trunk(config.architecture, image_shape[1])
    plan = _plan(config.architecture, config.cut_at, config.head == "conv", split_stages(trunk))
    frozen = _frozen_stages(config, plan)
    known_keys = set(trunk.state_dict())
    _adapt_channels(trunk, image_shape[0])
    _prune(trunk, plan.paths)
    if weights is not None:
        with secrets_hidden(config.weights):
            load_weights(trunk, weights, known_keys)
    for name, parameter in trunk.named_parameters():
        fixed = config.freeze_depth == "all" or any(stage.owns(name) for stage in frozen)
        parameter.requires_grad_(not fixed)
    return Backbone(trunk, plan.steps, _head(config, shape, classes), pretrained=weights is not None).train()


@dataclass(frozen=True)
class _Plan:
    """The parts of a network that are kept, and how images pass through them."""

    stages: tuple[Stage, ...]
    ending: tuple[Step, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*(step for stage in self.stages for step in stage.steps), *self.ending)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the submodules and parameters to keep."""
        named = (step for step in self.ending if isinstance(step, str))
        return (*(path for stage in self.stages for path in stage.paths), *named)


def _plan(architecture: str, cut_at: str | None, maps: bool, anatomy: StageLayout) -> _Plan:
    names = [stage.name for stage in anatomy.stages]
    if cut_at is not None and cut_at not in names:
        raise InputError(f"model.cut_at: {architecture} has no stage {cut_at!r}; its stages are {', '.join(names)}")
    stages = anatomy.stages if cut_at is None else anatomy.stages[: names.index(cut_at) + 1]
    ending = anatomy.map_steps() if maps else anatomy.vector_steps(stages)
    if ending is None:
        raise InfeasibleError(
            f"{architecture} has no feature maps at any stage, only tokens; use head linear or mlp instead of conv"
        )
    return _Plan(stages, ending)


@lru_cache(maxsize=256)
def _feature_shape(architecture: str, cut_at: str | None, maps: bool, image_shape: MapShape) -> tuple[int, ...]:
    """Shape of the head's input for one image: (width,) or, with `maps`, (C, H, W). Computed on `meta`.

    Raises:
        InfeasibleError: the map shrinks below one pixel; names the stage.
    """
    with torch.device("meta"), torch.no_grad():
        trunk = build_trunk(architecture, image_shape[1]).eval()
        plan = _plan(architecture, cut_at, maps, split_stages(trunk))
        _adapt_channels(trunk, image_shape[0])
        values = torch.empty(1, *image_shape)
        for stage in plan.stages:
            received = "x".join(map(str, values.shape[1:]))
            try:
                values = run_steps(trunk, stage.steps, values)
            except RuntimeError as error:  # raised by torch if a kernel is larger than the map
                raise InfeasibleError(
                    f"{architecture}: the map of {received} shrinks below one pixel in stage {stage.name} on images of "
                    f"{image_shape[1]}x{image_shape[2]}; use larger images or cut the network before it"
                ) from error
        return tuple(run_steps(trunk, plan.ending, values).shape[1:])


def _frozen_stages(config: BackboneConfig, plan: _Plan) -> tuple[Stage, ...]:
    depth, names = config.freeze_depth, [stage.name for stage in plan.stages]
    if depth == "all":
        return plan.stages
    if depth > len(names):
        raise InfeasibleError(
            f"model.freeze_depth: {depth} is beyond the {len(names)} stages of {config.architecture}"
            f"{f' cut at {config.cut_at}' if config.cut_at else ''} ({', '.join(names)}); use 0 to {len(names)}, or all"
        )
    return plan.stages[:depth]


def _adapt_channels(trunk: nn.Module, channels: int) -> None:
    """Replace the first convolution with one for this many channels."""
    name, first = next((name, part) for name, part in trunk.named_modules() if isinstance(part, nn.Conv2d))
    if first.in_channels == channels:
        return
    replacement = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]  # ints in every 2d convolution
        stride=first.stride,  # type: ignore[arg-type]  # ints in every 2d convolution
        padding=first.padding,  # type: ignore[arg-type]  # ints in every 2d convolution
        bias=first.bias is not None,
    )
    parent, _, child = name.rpartition(".")
    setattr(trunk.get_submodule(parent), child, replacement)


def _prune(module: nn.Module, paths: tuple[str, ...]) -> None:
    """Delete every submodule that is not in `paths`, nor inside or around one of them."""
    for name, child in list(module.named_children()):
        if name in paths:
            continue
        inner = tuple(path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}."))
        if inner:
            _prune(child, inner)
        else:
            delattr(module, name)


def _head(config: BackboneConfig, shape: tuple[int, ...], classes: int) -> nn.Module:
    if config.head == "conv":
        channels, height, width = shape
        return build_convolutional_head(config, (channels, height, width), classes)
    return build_vector_head(config, shape[0], classes)

"""Splits a torchvision network into stages that images pass through in order, and a tail.

A step is the path of a submodule, or a function for what a torchvision `forward` does between submodules. The network
is left as torchvision builds it, so that its state dict keeps torchvision's keys.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

Step = str | Callable[[nn.Module, torch.Tensor], torch.Tensor]
Layout = Literal["channels_first", "channels_last", "tokens"]
"""Layout of the stages' outputs: N x C x H x W, N x H x W x C, or N x tokens x width with the class token first."""


@dataclass(frozen=True)
class Stage:
    """One stage of a network, the unit of freezing and cutting."""

    name: str
    steps: tuple[Step, ...]
    parameters: int
    owned: tuple[str, ...] = ()
    """Paths of parameters of the stage that are not in a submodule step."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of all submodules and parameters of this stage."""
        return (*(step for step in self.steps if isinstance(step, str)), *self.owned)

    def owns(self, key: str) -> bool:
        """Whether the parameter of this name belongs to the stage."""
        return any(f"{key}.".startswith(f"{path}.") for path in self.paths)


@dataclass(frozen=True)
class StageLayout:
    """A network as stages, a tail that turns their output into a vector, and the classification layer."""

    stages: tuple[Stage, ...]
    tail: tuple[Step, ...]
    classifier: str
    """Path of the layer to replace: the last linear layer (SqueezeNet: convolution)."""
    layout: Layout = "channels_first"

    def vector_steps(self, kept: tuple[Stage, ...]) -> tuple[Step, ...]:
        """Steps from the output of the kept stages to one vector per image."""
        if kept == self.stages or self.layout == "tokens":
            return self.tail
        return (*(self.map_steps() or ()), average_map)

    def map_steps(self) -> tuple[Step, ...] | None:
        """Steps from a stage's output to feature maps, N x C x H x W; None if it has none."""
        return {"channels_first": (), "channels_last": (_to_channels_first,), "tokens": None}[self.layout]


def run_steps(trunk: nn.Module, steps: tuple[Step, ...], values: torch.Tensor) -> torch.Tensor:
    """Pass values through steps of the trunk."""
    for step in steps:
        values = trunk.get_submodule(step)(values) if isinstance(step, str) else step(trunk, values)
    return values


def average_map(trunk: nn.Module, values: torch.Tensor) -> torch.Tensor:
    """N x C x H x W to N x C."""
    return values.mean(dim=(2, 3))


def _to_channels_first(trunk: nn.Module, maps: torch.Tensor) -> torch.Tensor:
    return maps.permute(0, 3, 1, 2)

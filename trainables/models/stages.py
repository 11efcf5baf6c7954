"""How a torchvision network is taken apart: into stages that images pass through in order, and a tail.

A step is the path of a submodule, or a function for what a torchvision `forward` does between its submodules. The
network itself is left as torchvision builds it, so that the keys of its state dict stay torchvision's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

Step = str | Callable[[nn.Module, torch.Tensor], torch.Tensor]
Layout = Literal["channels_first", "channels_last", "tokens"]
"""What the stages hand on: N x C x H x W, N x H x W x C, or N x tokens x width with the class token first."""


@dataclass(frozen=True)
class Stage:
    """One stage of a network, the unit of freezing and cutting."""

    name: str
    steps: tuple[Step, ...]
    parameters: int
    owned: tuple[str, ...] = ()
    """Parameters of the stage that no submodule step holds, by path."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of all submodules and parameters of this stage."""
        return (*(step for step in self.steps if isinstance(step, str)), *self.owned)

    def owns(self, key: str) -> bool:
        """Whether the parameter of this name belongs to the stage."""
        return any(f"{key}.".startswith(f"{path}.") for path in self.paths)


@dataclass(frozen=True)
class StageLayout:
    """A network as stages, the tail that turns their output into a vector, and the classifying layer."""

    stages: tuple[Stage, ...]
    tail: tuple[Step, ...]
    classifier: str
    """Path of the layer that is replaced: the last linear layer (SqueezeNet: convolution)."""
    layout: Layout = "channels_first"

    def vector_steps(self, kept: tuple[Stage, ...]) -> tuple[Step, ...]:
        """What makes one vector an image out of the output of the kept stages."""
        if kept == self.stages or self.layout == "tokens":
            return self.tail
        return (*(self.map_steps() or ()), average_map)

    def map_steps(self) -> tuple[Step, ...] | None:
        """What makes feature maps, N x C x H x W, out of a stage's output; None where there are none."""
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

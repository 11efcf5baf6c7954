"""The network that is trained, checkpointed and delivered, including its input normalization."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from trainables.models.backbone import Backbone


class Classifier(nn.Module):
    """Images to logits. The normalization is stored with the weights, so a delivered model takes plain images."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, body: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        """Wrap a network.

        Args:
            body: normalized images, N x C x H x W, to logits, N x classes.
            mean: per channel, of images in [0, 1].
            std: per channel, above 0.
        """
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).reshape(1, -1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images, N x C x H x W: float in [0, 1], or uint8 in [0, 255]."""
        if images.dtype == torch.uint8:
            images = images.to(self.mean.dtype).div_(255)
        return self.body(self.normalize(images))

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """Normalize float images in [0, 1] for the body."""
        # Expand to a whole image first: in channels_last, three numbers per pixel make poor use of vector instructions
        # (370 us for a 224-pixel image on one core, 120 us with this).
        image = torch.zeros_like(images[:1])
        return (images - (image + self.mean)).div_(image + self.std)


def backbone_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of the backbone, including frozen ones (`requires_grad` False); none without a backbone."""
    for part in module.modules():
        if isinstance(part, Backbone):
            yield from part.trunk.parameters()


def head_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    """Yield every parameter outside the backbone; without a backbone, all parameters."""
    backbone = set(backbone_parameters(module))
    yield from (parameter for parameter in module.parameters() if parameter not in backbone)

"""Mixes pairs of images and their labels: mixup (Zhang et al., 2017) and CutMix (Yun et al., 2019)."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from torch import Tensor

from trainables.data.transforms.color import rectangles


def mixup(images: Tensor, labels: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blend each image and its soft label (N x K) with another's by a share from Beta(alpha, alpha)."""
    partner, share = _partners(images, generator), _beta(alpha, len(images), generator).to(images.device)
    mixed = torch.lerp(images[partner], images, share[:, None, None, None])
    return mixed, torch.lerp(labels[partner], labels, share[:, None])


def cutmix(images: Tensor, labels: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another image into each; labels (N x K) are weighted by the share of pixels."""
    height, width = images.shape[2:]
    partner = _partners(images, generator)
    side = (1 - _beta(alpha, len(images), generator).to(images.device)).sqrt()
    pasted = rectangles(side * height, side * width, (height, width), generator)
    share = 1 - pasted.float().mean(dim=(2, 3))
    return torch.where(pasted, images[partner], images), torch.lerp(labels[partner], labels, share)


def soft_labels(labels: Tensor, classes: int) -> Tensor:
    """int64 N to float32 N x K."""
    return F.one_hot(labels, classes).float()


def _partners(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randperm(len(images), generator=generator, device=generator.device).to(images.device)


def _beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """`count` draws from Beta(alpha, alpha), by numpy seeded from `generator`: torch takes no generator for them."""
    seed = torch.randint(2**62, (), generator=generator, device=generator.device).item()
    return torch.from_numpy(np.random.default_rng(int(seed)).beta(alpha, alpha, count).astype(np.float32))

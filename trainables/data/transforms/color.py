"""Color transforms and erasing. Float batches in [0, 1]; one factor or rectangle per image."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_saturation_with_gray_subtraction,
)
from torch import Tensor

from trainables.data.transforms.geometric import to_unit, uniform


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by `factor` (N numbers): 0 is black, 1 changes nothing. The other three take the same factors."""
    return adjust_brightness_accumulative(images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with each image's mean gray."""
    return adjust_contrast_with_mean_subtraction(images, factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with each pixel's gray; grayscale images are unchanged."""
    return images if images.shape[1] == 1 else adjust_saturation_with_gray_subtraction(images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with a smoothed image; the outermost pixels are not smoothed."""
    channels = images.shape[1]
    if min(images.shape[2:]) < 3:
        return images
    kernel = torch.ones(3, 3, dtype=images.dtype, device=images.device)
    kernel[1, 1] = 5
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, (kernel / 13).expand(channels, 1, 3, 3), groups=channels)
    return torch.lerp(smooth, images, factor[:, None, None, None]).clamp_(0, 1)


@dataclass(frozen=True)
class Jitter:
    """Applies one of the four functions above with a factor from [1 - `strength`, 1 + `strength`], never negative."""

    change: Callable[[Tensor, Tensor], Tensor]
    strength: float

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x C x H x W to float in [0, 1]."""
        low, high = max(0.0, 1 - self.strength), 1 + self.strength
        return self.change(to_unit(images), uniform(generator, len(images), low, high, images.device))


@dataclass(frozen=True)
class RandomErasing:
    """Cover a rectangle with the image's mean color: 2 to 33 % of the area, aspect 0.3 to 3.3 (Zhong et al., 2017)."""

    probability: float

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x C x H x W to float in [0, 1]."""
        images, count, (height, width) = to_unit(images), len(images), images.shape[2:]
        chosen = uniform(generator, count, 0, 1, images.device) < self.probability
        area = uniform(generator, count, 0.02, 0.33, images.device) * (height * width)
        aspect = torch.exp(uniform(generator, count, math.log(0.3), math.log(3.3), images.device))
        mask = rectangles((area / aspect).sqrt(), (area * aspect).sqrt(), (height, width), generator)
        mean = images.mean(dim=(2, 3), keepdim=True)
        return torch.where(mask & chosen[:, None, None, None], mean, images)


def rectangles(heights: Tensor, widths: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """N x 1 x H x W masks, each true in a rectangle of about the given size, at least one pixel, placed at random."""
    rows = _interval(heights, size[0], generator)
    columns = _interval(widths, size[1], generator)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _interval(lengths: Tensor, size: int, generator: torch.Generator) -> Tensor:
    lengths = lengths.round().clamp(1, size)
    start = (uniform(generator, len(lengths), 0, 1, lengths.device) * (size - lengths + 1)).floor()
    position = torch.arange(size, device=lengths.device)
    return (position >= start[:, None]) & (position < (start + lengths)[:, None])

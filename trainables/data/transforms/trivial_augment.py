"""TrivialAugment (Mueller and Hutter, 2021): one random operation of random strength per image."""

from collections.abc import Callable
from types import MappingProxyType

import torch
from torch import Tensor

from trainables.data.transforms.color import brightness, contrast, saturation, sharpness
from trainables.data.transforms.geometric import rotated, sample, to_unit, uniform

Operation = Callable[[Tensor, Tensor], Tensor]
"""Float images N x C x H x W in [0, 1] and N strengths in [-1, 1] to images of the same kind."""


def _affine(matrices: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return lambda images, strength: sample(images, matrices(images, strength))


def _identity_with(entry: tuple[int, int], value: Tensor) -> Tensor:
    matrices = torch.eye(2, 3, device=value.device).repeat(len(value), 1, 1)
    matrices[:, entry[0], entry[1]] = value
    return matrices


def _enhance(change: Operation) -> Operation:
    return lambda images, strength: change(images, 1 + 0.99 * strength)


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keep 8 to 2 bits."""
    step = torch.pow(2.0, (6 * strength.abs()).round())[:, None, None, None]
    return torch.floor(torch.floor(images * 255 + 0.5) / step) * step / 255


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Invert pixels at or above a threshold from 1 down to 0."""
    return torch.where(images >= 1 - strength.abs()[:, None, None, None], 1 - images, images)


def _autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    """Stretch each channel to [0, 1]; constant channels are unchanged."""
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def _equalize(images: Tensor, strength: Tensor) -> Tensor:
    """Spread each channel's 256 levels evenly; constant channels are unchanged."""
    levels = (images * 255).round().long().flatten(2)
    histogram = torch.zeros(*levels.shape[:2], 256, device=images.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels, dtype=torch.float32))
    cumulated = histogram.cumsum(2)
    lowest = cumulated.gather(2, levels.amin(dim=2, keepdim=True))
    spread = (cumulated.gather(2, levels) - lowest) / (levels.shape[2] - lowest).clamp(min=1)
    return torch.where(lowest < levels.shape[2], spread, levels / 255).view_as(images)


OPERATIONS = MappingProxyType[str, Operation](
    {
        "identity": lambda images, strength: images,
        "shear_x": _affine(lambda images, strength: _identity_with((0, 1), 0.99 * strength)),
        "shear_y": _affine(lambda images, strength: _identity_with((1, 0), 0.99 * strength)),
        # 32 pixels of 224 in the paper: a seventh of the side, which is 2 in coordinates from -1 to 1.
        "translate_x": _affine(lambda images, strength: _identity_with((0, 2), 2 / 7 * strength)),
        "translate_y": _affine(lambda images, strength: _identity_with((1, 2), 2 / 7 * strength)),
        "rotate": lambda images, strength: rotated(images, 135 * strength),
        "brightness": _enhance(brightness),
        "colour": _enhance(saturation),
        "contrast": _enhance(contrast),
        "sharpness": _enhance(sharpness),
        "posterize": _posterize,
        "solarize": _solarize,
        "autocontrast": _autocontrast,
        "equalize": _equalize,
    }
)


def trivial_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """N x C x H x W to float in [0, 1]; each operation runs once, on the images that drew it."""
    images = to_unit(images)
    strength = uniform(generator, len(images), -1, 1, images.device)
    choice = torch.randint(len(OPERATIONS), (len(images),), generator=generator, device=generator.device)
    result = torch.empty_like(images)
    for number, operation in enumerate(OPERATIONS.values()):
        rows = (choice == number).nonzero().flatten().to(images.device)
        if len(rows):
            result[rows] = operation(images[rows], strength[rows]).clamp(0, 1)
    return result

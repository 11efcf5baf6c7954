"""Augments a training batch according to `AugmentationConfig`, on the batch's device."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from trainables.config import AugmentationConfig
from trainables.data.transforms.color import Jitter, RandomErasing, brightness, contrast, saturation, sharpness
from trainables.data.transforms.geometric import FlipAndShift, RandomResizedCrop, Rotation, to_unit
from trainables.data.transforms.mixing import cutmix, mixup, soft_labels
from trainables.data.transforms.trivial_augment import trivial_augment

Step = Callable[[Tensor, torch.Generator], Tensor]
"""Images N x C x H x W (uint8, or float in [0, 1]) to images of the same shape."""


class Augmenter:
    """Batch augmentation; each image draws its own transformation from the given generator."""

    def __init__(self, config: AugmentationConfig, classes: int) -> None:
        """Prepare the augmentation of images of `classes` classes."""
        self._config = config
        self._classes = classes

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            images: N x C x H x W, uint8 or float in [0, 1], not changed.
            labels: int64 N.
            generator: on any device; equal states give equal results.

        Returns:
            float32 images in [0, 1] of the same shape, and the labels: unchanged, or with mixup or cutmix float32
            N x classes, rows summing to 1.
        """
        for step in _policy_steps(self._config, images.shape[2]):
            images = step(images, generator)
        for step in _steps(self._config):
            images = step(images, generator)
        return self._mix(to_unit(images), labels, generator)

    def _mix(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        alpha, cut_alpha = self._config.mixup, self._config.cutmix
        if not alpha and not cut_alpha:
            return images, labels
        soft = soft_labels(labels, self._classes)
        cut = bool(cut_alpha)
        if alpha and cut_alpha:
            cut = bool(torch.rand((), generator=generator, device=generator.device) < 0.5)
        return cutmix(images, soft, cut_alpha, generator) if cut else mixup(images, soft, alpha, generator)


def _policy_steps(config: AugmentationConfig, size: int) -> Iterator[Step]:
    match config.policy:
        case "light":
            yield from _steps(AugmentationConfig(horizontal_flip=0.5, crop_padding=max(1, size // 8)))
        case "standard":
            yield from _steps(_STANDARD)
        case "trivial_augment":
            yield trivial_augment


_STANDARD = AugmentationConfig(
    horizontal_flip=0.5, random_resized_crop=0.65, brightness=0.2, contrast=0.2, saturation=0.2, random_erasing=0.25
)


def _steps(config: AugmentationConfig) -> Iterator[Step]:
    """Steps of the single parameters: first those that work on bytes, then those that need floats."""
    if config.horizontal_flip or config.vertical_flip or config.crop_padding:
        yield FlipAndShift(config.horizontal_flip, config.vertical_flip, config.crop_padding)
    if config.random_resized_crop:
        yield RandomResizedCrop(config.random_resized_crop)
    if config.rotation:
        yield Rotation(config.rotation)
    for change, strength in (
        (brightness, config.brightness),
        (contrast, config.contrast),
        (saturation, config.saturation),
        (sharpness, config.sharpness),
    ):
        if strength:
            yield Jitter(change, strength)
    if config.random_erasing:
        yield RandomErasing(config.random_erasing)

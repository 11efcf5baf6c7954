"""Training data of trials, and test data for the champion."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.config import DataConfig
from trainables.config.canonical import digest
from trainables.data.cache import CacheEntry, Progress, open_sealed_entry, open_training_entry
from trainables.data.decoding import UnreadableFile
from trainables.data.splits import Indices, stratified_split
from trainables.errors import DataError

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in Pillow's grayscale; they give ImageNet's mean of grayscale images."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Images for training and validation, without the sealed test images."""

    images: Tensor
    """uint8, N x C x H x W, channels_last, mapped from the cache: all processes on a node share the pages. Do not write
    to it."""
    labels: Tensor
    """int64, N."""
    names: tuple[str, ...]
    """N: paths relative to the root, or like `train/00017` in a packaged set."""
    classes: tuple[str, ...]
    train_indices: Tensor
    """int64, ascending."""
    validation_indices: Tensor
    """int64, ascending."""
    mean: tuple[float, ...]
    """Per channel, of pixels in [0, 1], according to `DataConfig.normalization`; likewise `std`."""
    std: tuple[float, ...]
    fingerprint: str
    """Hex digest of pixels, labels, names, splits and normalization."""
    unreadable: tuple[UnreadableFile, ...]
    cache_entry: str
    """Name of the cache entry with the images."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width


@dataclass(frozen=True, eq=False)
class TestData:
    """The sealed test split."""

    __test__ = False  # keeps pytest from collecting it

    images: Tensor
    """uint8, N x C x H x W, channels_last."""
    labels: Tensor
    """int64, N."""
    classes: tuple[str, ...]
    names: tuple[str, ...]
    unreadable: tuple[UnreadableFile, ...]


def prepare_training_data(config: DataConfig, progress: Progress | None = None, cache_entry: str = "") -> TrainingData:
    """Decode the training part if it is not in the cache, and split it.

    With `cache_entry`, that entry is used if it exists, even if the files have changed since.

    Raises:
        DataError: images missing, too few, too many unreadable, or the cache cannot be used.
    """
    entry = open_training_entry(config, progress, cache_entry)
    check_unreadable(entry, config)
    train, validation = split_entry(entry, config)
    mean, std = _normalization(entry, train, config)
    return TrainingData(
        images=_channels_last(entry.images),
        labels=torch.from_numpy(entry.labels),
        names=entry.names,
        classes=entry.classes,
        train_indices=torch.from_numpy(train),
        validation_indices=torch.from_numpy(validation),
        mean=mean,
        std=std,
        fingerprint=digest([entry.content, train.tolist(), validation.tolist(), mean, std]),
        unreadable=entry.unreadable,
        cache_entry=entry.folder.name,
    )


@lru_cache(maxsize=8)
def open_training_data(config: DataConfig, cache_entry: str = "") -> TrainingData:
    """Return the data of `prepare_training_data`, opened once per process for equal configurations.

    Raises:
        DataError: like `prepare_training_data`.
    """
    return prepare_training_data(config, cache_entry=cache_entry)


def open_test_data(config: DataConfig, progress: Progress | None = None) -> TestData:
    """Open the sealed test split: once, for the champion. Never called in a trial.

    Raises:
        DataError: there is no test split, or it cannot be read.
    """
    entry = open_sealed_entry(config, progress)
    check_unreadable(entry, config)
    return TestData(
        images=_channels_last(entry.images),
        labels=torch.from_numpy(entry.labels),
        classes=entry.classes,
        names=entry.names,
        unreadable=entry.unreadable,
    )


def check_unreadable(entry: CacheEntry, config: DataConfig) -> None:
    """Refuse a part with too many unreadable files.

    Raises:
        DataError: more than `max_unreadable` of the files are unreadable, or all; names the first ones.
    """
    bad, total = len(entry.unreadable), len(entry.unreadable) + len(entry.names)
    if total == 0:
        raise DataError("the test split is empty: data.test_fraction is 0 and there is no test/ folder")
    if bad > config.max_unreadable * total or bad == total:
        first = "\n".join(f"  {file.path}: {file.reason}" for file in entry.unreadable[:5])
        more = f"\n  ... and {bad - 5} more" if bad > 5 else ""
        raise DataError(
            f"{bad} of {total} images ({bad / total:.1%}) cannot be read, and data.max_unreadable allows "
            f"{config.max_unreadable:.1%}:\n{first}{more}\nRepair or remove them, or raise data.max_unreadable."
        )


def split_entry(entry: CacheEntry, config: DataConfig) -> tuple[Indices, Indices]:
    """Split an entry's images into training and validation, both ascending.

    Images in `val/` are the validation split; without them, a stratified share is held out.

    Raises:
        DataError: a class with too few images.
    """
    given = np.array([name.startswith("val/") for name in entry.names], bool)
    if given.any():
        train, validation = np.flatnonzero(~given), np.flatnonzero(given)
    elif config.validation_fraction == 0.0:
        raise DataError("data.validation_fraction is 0 and there is no val/ folder; give a fraction, for example 0.2")
    else:
        train, validation = stratified_split(
            entry.names, entry.labels, config.validation_fraction, config.split_seed, "validation", entry.classes
        )
    if config.train_fraction < 1.0:
        names = [entry.names[row] for row in train]
        _, used = stratified_split(
            names, entry.labels[train], config.train_fraction, config.split_seed, "train_fraction", entry.classes
        )
        train = train[used]
    return train, validation


def _channels_last(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _normalization(
    entry: CacheEntry, train: Indices, config: DataConfig
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    channels = entry.images.shape[3]
    match config.normalization:
        case "none":
            return (0.0,) * channels, (1.0,) * channels
        case "imagenet" if channels == 3:
            return _IMAGENET_MEAN, _IMAGENET_STD
        case "imagenet":
            grey = sum(weight * mean for weight, mean in zip(_LUMA, _IMAGENET_MEAN, strict=True))
            return (grey,), (sum(_IMAGENET_STD) / 3,)
    return _measured(entry, train)


def _measured(entry: CacheEntry, train: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the training images' pixels; constant channels get a deviation of 1."""
    pixels = len(train) * entry.images.shape[1] * entry.images.shape[2] * 255.0
    mean, square = entry.sums[train].sum(axis=0) / np.array([[pixels], [pixels * 255.0]])
    std = np.sqrt(np.maximum(square - mean**2, 0.0))
    return tuple(mean.tolist()), tuple(np.where(std < 1e-6, 1.0, std).tolist())

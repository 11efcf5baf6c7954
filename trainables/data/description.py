"""Summary of a data set, for a user who decides whether to trust it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainables.config import DataConfig
from trainables.data.cache import Progress, open_sealed_entry, open_training_entry
from trainables.data.decoding import UnreadableFile
from trainables.data.duplicates import near_duplicates, thumbnails
from trainables.data.training_data import check_unreadable, split_entry


@dataclass(frozen=True)
class SplitDescription:
    """One split's size."""

    name: str
    """`train`, `validation` or `test`."""
    images: int
    per_class: tuple[int, ...]
    """In the order of the classes."""


@dataclass(frozen=True)
class NearDuplicate:
    """Two images in different splits that look the same: a model trained on the first scores too well on the second."""

    first_split: str
    first: str
    second_split: str
    second: str


@dataclass(frozen=True)
class DataDescription:
    """A data set as a study uses it."""

    dataset: str
    image_shape: tuple[int, int, int]
    """Channels, height, width."""
    classes: tuple[str, ...]
    splits: tuple[SplitDescription, ...]
    unreadable: tuple[UnreadableFile, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    cache_folders: tuple[Path, ...]
    bytes_on_disk: int
    """Size of the decoded images in the cache."""


def describe_data(config: DataConfig, progress: Progress | None = None) -> DataDescription:
    """Describe a data set, decoding it first if it is not in the cache.

    Uses only counts and thumbnails (to find duplicates) of the sealed test split; no model sees it.

    Raises:
        DataError: the data cannot be used.
    """
    entry = open_training_entry(config, progress)
    check_unreadable(entry, config)
    train, validation = split_entry(entry, config)
    sealed = open_sealed_entry(config, progress)
    small = thumbnails(entry.images)
    splits = {
        "train": _Split(entry.labels[train], [entry.names[row] for row in train], small[train]),
        "validation": _Split(entry.labels[validation], [entry.names[row] for row in validation], small[validation]),
        "test": _Split(sealed.labels, list(sealed.names), thumbnails(sealed.images)),
    }
    return DataDescription(
        dataset=config.dataset,
        image_shape=(int(entry.images.shape[3]), int(entry.images.shape[1]), int(entry.images.shape[2])),
        classes=entry.classes,
        splits=tuple(_describe(name, split, len(entry.classes)) for name, split in splits.items()),
        unreadable=(*entry.unreadable, *sealed.unreadable),
        near_duplicates=tuple(
            duplicate
            for first, second in (("train", "validation"), ("train", "test"), ("validation", "test"))
            for duplicate in _duplicates(first, splits[first], second, splits[second])
        ),
        cache_folders=(entry.folder, sealed.folder),
        bytes_on_disk=entry.bytes_on_disk + sealed.bytes_on_disk,
    )


@dataclass(frozen=True, eq=False)
class _Split:
    labels: NDArray[np.int64]
    names: list[str]
    thumbnails: Tensor


def _describe(name: str, split: _Split, classes: int) -> SplitDescription:
    counts = Counter(split.labels.tolist())
    return SplitDescription(name, len(split.names), tuple(counts[label] for label in range(classes)))


def _duplicates(first: str, one: _Split, second: str, other: _Split) -> list[NearDuplicate]:
    return [
        NearDuplicate(first, one.names[row], second, other.names[column])
        for row, column in near_duplicates(one.thumbnails, other.thumbnails)
    ]

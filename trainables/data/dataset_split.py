"""Parts of a data set for the cache to decode: files of a folder, or arrays of a packaged set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.config.canonical import digest
from trainables.data.decoding import ImageFormat, UnreadableFile, fit_image
from trainables.data.decoding_processes import decode_in_processes

_IMAGES_AT_ONCE = 256


@dataclass(frozen=True)
class Listing:
    """Names and labels of a part's images, before anything is decoded."""

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class DecodedBatch:
    """Some decoded images of a part, in the part's order."""

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    images: NDArray[np.uint8]
    """n x H x W x C."""
    unreadable: tuple[UnreadableFile, ...] = ()


class DatasetSplit(Protocol):
    """Images that are decoded and cached together; never training and sealed test images at once."""

    @property
    def identity(self) -> str:
        """Hex digest that changes when a file is added, removed or changed."""

    @property
    def listing(self) -> Listing:
        """All images, readable or not."""

    def blocks(self, image_format: ImageFormat) -> Iterator[DecodedBatch]:
        """Decode all images, one block at a time."""


@dataclass(frozen=True)
class ImageFile:
    """A file found in a folder."""

    name: str
    """Relative to the root, with `/`: `train/ants/a.jpg`."""
    label: int
    size: int
    """Bytes; -1 if the file's status cannot be read."""
    mtime_ns: int


@dataclass(frozen=True)
class FilePart:
    """Files of an image folder."""

    root: Path
    classes: tuple[str, ...]
    files: tuple[ImageFile, ...]

    @cached_property
    def identity(self) -> str:
        """Digest of relative paths, sizes and modification times; the location of the root does not matter."""
        rows = [(file.name, file.label, file.size, file.mtime_ns) for file in self.files]
        return digest({"classes": self.classes, "files": rows})

    @cached_property
    def listing(self) -> Listing:
        """All files."""
        labels = np.array([file.label for file in self.files], np.int64)
        return Listing(tuple(file.name for file in self.files), labels, self.classes)

    def blocks(self, image_format: ImageFormat) -> Iterator[DecodedBatch]:
        """Decode in several processes."""
        names, labels = self.listing.names, self.listing.labels
        start = 0
        for decoded in decode_in_processes(self.root, names, image_format):
            rows = [start + position for position in decoded.positions]
            yield DecodedBatch(tuple(names[row] for row in rows), labels[rows], decoded.images, decoded.unreadable)
            start += len(rows) + len(decoded.unreadable)


@dataclass(frozen=True)
class Arrays:
    """A packaged data set's images in memory."""

    images: NDArray[np.uint8]
    """N x H x W, or N x H x W x 3."""
    names: tuple[str, ...]
    """`train/00017`: the published part and the index in it."""
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ArrayPart:
    """Images of a packaged data set; loaded only when decoded or listed."""

    identity: str
    load: Callable[[], Arrays]

    @cached_property
    def _arrays(self) -> Arrays:
        return self.load()

    @property
    def listing(self) -> Listing:
        """All images."""
        return Listing(self._arrays.names, self._arrays.labels, self._arrays.classes)

    def blocks(self, image_format: ImageFormat) -> Iterator[DecodedBatch]:
        """Resize in this process: packaged images are small."""
        arrays = self._arrays
        for start in range(0, len(arrays.names), _IMAGES_AT_ONCE):
            rows = slice(start, start + _IMAGES_AT_ONCE)
            images = np.stack([fit_image(Image.fromarray(pixels), image_format) for pixels in arrays.images[rows]])
            yield DecodedBatch(arrays.names[rows], arrays.labels[rows], images)

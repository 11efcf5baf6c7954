"""Decoded images on disk: a uint8 array N x H x W x C that every trial on a node maps into memory.

    CACHE/uUID/training/NAME/   images.npy  labels.npy  sums.npy  entry.json
    CACHE/uUID/sealed/NAME/     the same for test images; never opened by a trial

NAME ends in a hash of the files and the image format, so a changed, added or removed file leads to another entry. Old
entries may be deleted at any time. See `trainables.data.cache_folder` for whose entries are used and when they are
checked. The check covers exactly the data to train on: `content`, part of the fingerprint of a study's data, is
recomputed from the mapped pixels and the labels and names read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trainables.config import DataConfig
from trainables.config.canonical import digest
from trainables.config.references import secrets_hidden
from trainables.data.cache_folder import DamagedEntryError, cache_directory, check_once, load_or_discard, open_entry
from trainables.data.dataset_split import DatasetSplit
from trainables.data.decoding import ImageFormat, UnreadableFile
from trainables.data.sources import image_format, open_sealed_part, open_training_part
from trainables.errors import DataError
from trainables.safe_files import open_new

_LAYOUT_VERSION = 3
"""Increment when decoding or the files of an entry change; old entries are then ignored."""

_FILES = ("images.npy", "labels.npy", "sums.npy", "entry.json")

_TRAINING = "training"

_WHAT = "decoded images"

_BYTES_AT_ONCE = 2**20
"""Bytes of pixels rearranged while the previous ones are hashed."""

Progress = Callable[[str, int, int], None]
"""Called with the current activity, the number of images done, and their total."""


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """One part of a data set, decoded."""

    folder: Path
    images: NDArray[np.uint8]
    """N x H x W x C, mapped from the file copy-on-write: pages are shared until written to."""
    labels: NDArray[np.int64]
    """N."""
    names: tuple[str, ...]
    sums: NDArray[np.float64]
    """N x 2 x C: each image's sum of pixels and of their squares, per channel."""
    classes: tuple[str, ...]
    unreadable: tuple[UnreadableFile, ...]
    content: str
    """Hex digest of pixels, labels and names; equal for equal images, wherever and whenever decoded."""

    @property
    def bytes_on_disk(self) -> int:
        """Total size of the entry's files."""
        return sum(path.stat().st_size for path in self.folder.iterdir())


def open_training_entry(config: DataConfig, progress: Progress | None = None, name: str = "") -> CacheEntry:
    """Training and validation images; decodes them first if they are missing from the cache, or damaged there.

    With `name`, that entry is opened if it exists, even if the files have changed since.

    Raises:
        DataError: the images or the cache cannot be used.
    """
    with secrets_hidden(config.root, config.cache_dir):
        named = load_or_discard(cache_directory(config) / _TRAINING / name, _WHAT, _load) if name else None
        return named or _open(open_training_part(config), config, _TRAINING, progress)


def open_sealed_entry(config: DataConfig, progress: Progress | None = None) -> CacheEntry:
    """The sealed test images; otherwise like `open_training_entry`.

    Raises:
        DataError: the images or the cache cannot be used.
    """
    with secrets_hidden(config.root, config.cache_dir):
        return _open(open_sealed_part(config), config, "sealed", progress)


def _open(part: DatasetSplit, config: DataConfig, category: str, progress: Progress | None) -> CacheEntry:
    form = image_format(config)
    key = digest({"version": _LAYOUT_VERSION, "part": part.identity, "format": asdict(form)})
    folder = cache_directory(config) / category / f"{config.dataset}-{form.size}px-{key[:24]}"
    return open_entry(folder, _WHAT, _load, partial(_build, part, form, progress))


def _build(part: DatasetSplit, form: ImageFormat, progress: Progress | None, folder: Path) -> None:
    listing = part.listing
    total = len(listing.names)
    _check_space(folder, total * form.channels * form.size**2)
    pixels = hashlib.sha256()
    labels: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    sums: list[NDArray[np.float64]] = [np.empty((0, 2, form.channels))]
    names: list[str] = []
    unreadable: list[UnreadableFile] = []
    with open_new(folder / "images.npy") as file:
        data_begins = _write_header(file, 0, form)
        for block in part.blocks(form):
            # Written, not mapped: a full disk raises an error here, but SIGBUS in a memory map.
            file.write(np.ascontiguousarray(block.images).data)
            pixels.update(_planes(block.images).data)
            labels.append(block.labels)
            sums.append(_sums(block.images))
            names.extend(block.names)
            unreadable.extend(block.unreadable)
            if progress is not None:
                progress("decoding images", len(names) + len(unreadable), total)
        file.seek(0)
        if _write_header(file, len(names), form) != data_begins:
            raise RuntimeError("numpy wrote headers of different lengths for arrays that differ only in N")
        _sync(file)
    _save(folder / "labels.npy", np.concatenate(labels))
    _save(folder / "sums.npy", np.concatenate(sums))
    entry = {
        "name": folder.name.removesuffix(".building"),
        "classes": listing.classes,
        "names": names,
        "unreadable": [asdict(file) for file in unreadable],
        "format": asdict(form),
        "sums": _digest_of(np.concatenate(sums)),
        "content": _content(pixels.hexdigest(), names, np.concatenate(labels), listing.classes, form),
    }
    with open_new(folder / "entry.json") as file:
        file.write(json.dumps({**entry, "digest": digest(entry)}).encode())
        _sync(file)


def _content(
    pixels: str, names: Sequence[str], labels: NDArray[np.int64], classes: Sequence[str], form: ImageFormat
) -> str:
    return digest([pixels, [names, labels.tolist(), classes, asdict(form)]])


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        detail = f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free"
        raise DataError(
            f"no space left for decoded images in {folder.parent}: {detail}; free some space, "
            "or set $TUNE_CACHE_DIR or data.cache_dir to a folder on a larger disk"
        )


def _write_header(file: BinaryIO, count: int, form: ImageFormat) -> int:
    """Write the .npy header, which numpy pads so that `count` can grow, and return the offset of the data."""
    shape = (count, form.size, form.size, form.channels)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _planes(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """n x C x H x W, the order of the first cache layout; keeps digests, and so studies' fingerprints, unchanged."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _sums(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """n x 2 x C: sums of pixels and of squared pixels."""
    count, height, width, channels = images.shape
    rows = images.reshape(count, height, width * channels)  # sum over long rows first: summing three channels is slow
    columns = np.stack(
        [rows.sum(axis=1, dtype=np.uint32), np.square(rows, dtype=np.uint16).sum(axis=1, dtype=np.uint32)]
    )
    sums: NDArray[np.float64] = columns.reshape(2, count, width, channels).sum(axis=2, dtype=np.float64)
    return sums.transpose(1, 0, 2)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with open_new(path) as file:
        np.save(file, array, allow_pickle=False)
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _load(folder: Path) -> CacheEntry:
    try:
        text = json.loads((folder / "entry.json").read_bytes())
        said = text.pop("digest")
        if digest(text) != said or text["name"] != folder.name:
            raise ValueError("entry.json was changed after it was written, or belongs to another entry")
        form = ImageFormat(**text["format"])
        images = np.load(folder / "images.npy", mmap_mode="c" if text["names"] else None, allow_pickle=False)
        entry = CacheEntry(
            folder=folder,
            images=images,
            labels=np.load(folder / "labels.npy", allow_pickle=False),
            names=tuple(text["names"]),
            sums=np.load(folder / "sums.npy", allow_pickle=False),
            classes=tuple(text["classes"]),
            unreadable=tuple(UnreadableFile(**file) for file in text["unreadable"]),
            content=text["content"],
        )
        check_once(folder, _FILES, partial(_check, entry, form, text["sums"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedEntryError(f"the decoded images in {folder} are damaged ({error})") from error
    return entry


def _check(entry: CacheEntry, form: ImageFormat, sums: str) -> None:
    """Compare the mapped and read data with what was written.

    Raises:
        ValueError: a difference.
    """
    count = len(entry.names)
    _check_array("images.npy", entry.images, np.uint8, (count, form.size, form.size, form.channels))
    _check_array("labels.npy", entry.labels, np.int64, (count,))
    _check_array("sums.npy", entry.sums, np.float64, (count, 2, form.channels))
    if _digest_of(entry.sums) != sums:
        raise ValueError("sums.npy was changed after it was written")
    if _content(_digest_of_pixels(entry.images), entry.names, entry.labels, entry.classes, form) != entry.content:
        raise ValueError("images.npy or labels.npy was changed after it was written")


def _check_array(name: str, array: NDArray[Any], kind: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != kind:
        raise ValueError(f"{name} contains {array.dtype} {array.shape}, not {np.dtype(kind)} {shape}")


def _digest_of(array: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _digest_of_pixels(images: NDArray[np.uint8]) -> str:
    """Digest of all images' planes. Another thread rearranges them, so this takes only as long as SHA-256."""
    pixels = hashlib.sha256()
    step = max(1, _BYTES_AT_ONCE // max(1, images[:1].nbytes))
    blocks = [images[start : start + step] for start in range(0, len(images), step)]
    with ThreadPoolExecutor(1) as pool:
        arranging = pool.submit(_planes, images[:0])
        for block in [*blocks, images[:0]]:
            arranged = arranging.result()
            arranging = pool.submit(_planes, block)
            pixels.update(arranged.data)
    return pixels.hexdigest()

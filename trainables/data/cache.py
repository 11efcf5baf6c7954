"""Decoded images on disk: one uint8 array N x H x W x C that every trial of a node maps into memory.

    CACHE/training/NAME/   images.npy  labels.npy  sums.npy  entry.json
    CACHE/sealed/NAME/     the same for test images; nothing a trial calls opens it
    CACHE/*/NAME.building  being written; its owner holds NAME.lock; removed by the next builder if that one died

An entry appears by one rename when it is complete and synced. NAME ends in a hash of the files and the image format,
so a changed, added or removed file leads to another entry. Old entries may be deleted at any time.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from trainables.config import DataConfig
from trainables.data.dataset_split import DatasetSplit, digest
from trainables.data.decoding import ImageFormat, UnreadableFile
from trainables.data.sources import image_format, open_sealed_part, open_training_part
from trainables.errors import DataError

_LAYOUT_VERSION = 2
"""Raise it when decoding or the files of an entry change: old entries are then left alone."""

_TRAINING = "training"

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many images are done, and how many there are."""


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """One part of a data set, decoded."""

    folder: Path
    images: NDArray[np.uint8]
    """N x H x W x C, mapped from the file copy-on-write: pages are shared until somebody writes to them."""
    labels: NDArray[np.int64]
    """N."""
    names: tuple[str, ...]
    sums: NDArray[np.float64]
    """N x 2 x C: each image's sum of pixels and of their squares, by channel."""
    classes: tuple[str, ...]
    unreadable: tuple[UnreadableFile, ...]
    content: str
    """Hex digest of pixels, labels and names; equal for equal images wherever and whenever they were decoded."""

    @property
    def bytes_on_disk(self) -> int:
        """Of all files of the entry."""
        return sum(path.stat().st_size for path in self.folder.iterdir())


def cache_directory(config: DataConfig) -> Path:
    """Where decoded images are kept: `data.cache_dir`, else `$TUNE_CACHE_DIR`, else `~/.cache/tune-cli`."""
    chosen = config.cache_dir or os.environ.get("TUNE_CACHE_DIR") or "~/.cache/tune-cli"
    return Path(chosen).expanduser()


def open_training_entry(config: DataConfig, progress: Progress | None = None, name: str = "") -> CacheEntry:
    """Training and validation images, decoded first where they are not yet.

    With the `name` of an entry, that one is opened if it is there, whatever has become of the files since.

    Raises:
        DataError: the images or the cache cannot be used.
    """
    made = cache_directory(config) / _TRAINING / name
    if name and made.is_dir():
        return _load(made)
    return _open(open_training_part(config), config, _TRAINING, progress)


def open_sealed_entry(config: DataConfig, progress: Progress | None = None) -> CacheEntry:
    """The sealed test images, decoded first where they are not yet.

    Raises:
        DataError: the images or the cache cannot be used.
    """
    return _open(open_sealed_part(config), config, "sealed", progress)


def _open(part: DatasetSplit, config: DataConfig, category: str, progress: Progress | None) -> CacheEntry:
    form = image_format(config)
    key = digest({"version": _LAYOUT_VERSION, "part": part.identity, "format": asdict(form)})
    folder = cache_directory(config) / category / f"{config.dataset}-{form.size}px-{key[:24]}"
    if not folder.is_dir():
        with explain_disk_errors("decoded images", folder.parent):
            _build_locked(part, form, folder, progress)
    return _load(folder)


def _build_locked(part: DatasetSplit, form: ImageFormat, folder: Path, progress: Progress | None) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(_lock_path(folder)):
        if folder.is_dir():  # somebody else built it while this process waited
            return
        _remove_abandoned(folder.parent)
        building = folder.with_name(f"{folder.name}.building")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        try:
            _build(part, form, building, progress)
            _sync_folder(building)
            building.rename(folder)
            _sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove_abandoned(category: Path) -> None:
    """Remove what builders left behind that were killed: their locks are free."""
    for building in category.glob("*.building"):
        lock = FileLock(_lock_path(building.with_suffix("")), timeout=0)
        with contextlib.suppress(Timeout), lock:
            shutil.rmtree(building, ignore_errors=True)


@contextlib.contextmanager
def explain_disk_errors(what: str, folder: Path) -> Iterator[None]:
    """Turn an `OSError` of the cache into words: `what` (plural) could not be kept in `folder`.

    Raises:
        DataError: instead of the `OSError`.
    """
    try:
        yield
    except OSError as error:
        remedy = "set $TUNE_CACHE_DIR or data.cache_dir to a folder"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"no space left for {what} in {folder}; free some, or {remedy} on a larger disk") from error
        raise DataError(
            f"{what} cannot be written to {folder} ({error.strerror or error}); {remedy} you may write to"
        ) from error


def _build(part: DatasetSplit, form: ImageFormat, folder: Path, progress: Progress | None) -> None:
    listing = part.listing
    total = len(listing.names)
    _check_space(folder, total * form.channels * form.size**2)
    content = hashlib.sha256()
    labels: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    sums: list[NDArray[np.float64]] = [np.empty((0, 2, form.channels))]
    names: list[str] = []
    unreadable: list[UnreadableFile] = []
    with open(folder / "images.npy", "wb") as file:
        data_begins = _write_header(file, 0, form)
        for block in part.blocks(form):
            # Written, not mapped: a full disk is an error here, and a SIGBUS in a memory map.
            file.write(np.ascontiguousarray(block.images).data)
            content.update(_planes(block.images).data)
            labels.append(block.labels)
            sums.append(_sums(block.images))
            names.extend(block.names)
            unreadable.extend(block.unreadable)
            if progress is not None:
                progress("decoding images", len(names) + len(unreadable), total)
        file.seek(0)
        if _write_header(file, len(names), form) != data_begins:
            raise RuntimeError("numpy gave headers of different lengths to arrays that differ in N alone")
        _sync(file)
    _save(folder / "labels.npy", np.concatenate(labels))
    _save(folder / "sums.npy", np.concatenate(sums))
    meaning = [names, np.concatenate(labels).tolist(), listing.classes, asdict(form)]
    entry = {
        "classes": listing.classes,
        "names": names,
        "unreadable": [asdict(file) for file in unreadable],
        "content": digest([content.hexdigest(), meaning]),
    }
    with open(folder / "entry.json", "wb") as file:
        file.write(json.dumps(entry).encode())
        _sync(file)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        detail = f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB free"
        raise DataError(
            f"no space left for decoded images in {folder.parent}: {detail}; free some, "
            "or set $TUNE_CACHE_DIR or data.cache_dir to a folder on a larger disk"
        )


def _write_header(file: BinaryIO, count: int, form: ImageFormat) -> int:
    """Write the .npy header, which numpy pads so that `count` may grow, and return where the data begin."""
    shape = (count, form.size, form.size, form.channels)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _planes(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """n x C x H x W, as the first layout kept images: their digest, and so a study's data, stay the same."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _sums(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """n x 2 x C sums of pixels and of squared pixels."""
    count, height, width, channels = images.shape
    rows = images.reshape(count, height, width * channels)  # added up first: long rows are fast, three channels are not
    columns = np.stack(
        [rows.sum(axis=1, dtype=np.uint32), np.square(rows, dtype=np.uint16).sum(axis=1, dtype=np.uint32)]
    )
    sums: NDArray[np.float64] = columns.reshape(2, count, width, channels).sum(axis=2, dtype=np.float64)
    return sums.transpose(1, 0, 2)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with open(path, "wb") as file:
        np.save(file, array)
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(folder: Path) -> CacheEntry:
    try:
        entry = json.loads((folder / "entry.json").read_bytes())
        return CacheEntry(
            folder=folder,
            images=np.load(folder / "images.npy", mmap_mode="c") if entry["names"] else np.load(folder / "images.npy"),
            labels=np.load(folder / "labels.npy"),
            names=tuple(entry["names"]),
            sums=np.load(folder / "sums.npy"),
            classes=tuple(entry["classes"]),
            unreadable=tuple(UnreadableFile(**file) for file in entry["unreadable"]),
            content=entry["content"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"the decoded images in {folder} are damaged ({error}); delete that folder and start again"
        ) from error

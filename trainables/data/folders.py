"""Image folders: `train/CLASS/*`, optionally `val/CLASS/*` and `test/CLASS/*`."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainables.config import DataConfig
from trainables.config.references import expanded_path
from trainables.data.dataset_split import FilePart, ImageFile
from trainables.data.splits import stratified_split
from trainables.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif"}
)
"""Files with other extensions (notes, thumbnail databases) are ignored, as are hidden files."""


def training_files(config: DataConfig) -> FilePart:
    """Files of `train/` and `val/`, without the sealed share if there is no `test/`.

    Raises:
        DataError: no such folder, no images, one class only, too few images, or a class missing from `train/`.
    """
    part, held = _scan_training(config)
    sealed = set(held.tolist())
    return FilePart(part.root, part.classes, tuple(file for row, file in enumerate(part.files) if row not in sealed))


def sealed_files(config: DataConfig) -> FilePart:
    """Files of `test/`, or the sealed share of `train/`.

    Raises:
        DataError: like `training_files`.
    """
    part, held = _scan_training(config)
    if (part.root / "test").is_dir():
        return FilePart(part.root, part.classes, tuple(_scan_split(part.root, "test", part.classes)))
    return FilePart(part.root, part.classes, tuple(part.files[row] for row in held.tolist()))


def _scan_training(config: DataConfig) -> tuple[FilePart, "np.typing.NDArray[np.int64]"]:
    """All files of `train/` and `val/`, and the positions of those to seal."""
    assert config.root is not None, "DataConfig requires it"
    root = expanded_path(config.root)
    classes = _class_names(root)
    for split in ("val", "test"):
        _check_classes(root, split, classes)
    train = list(_scan_split(root, "train", classes))
    _check_no_class_is_empty(root, classes, train)
    fraction = 0.0 if (root / "test").is_dir() else config.test_fraction
    labels = np.array([file.label for file in train], np.int64)
    names = [file.name for file in train]
    _, held = stratified_split(names, labels, fraction, config.split_seed, "test", classes)
    validation = list(_scan_split(root, "val", classes)) if (root / "val").is_dir() else []
    return FilePart(root, classes, (*train, *validation)), held


def _class_names(root: Path) -> tuple[str, ...]:
    train = root / "train"
    if not root.is_dir():
        raise DataError(f"data.root {root} is not a folder; it should contain train/CLASS/*.jpg")
    if not train.is_dir():
        found = ", ".join(sorted(entry.name for entry in root.iterdir())[:8]) or "nothing"
        raise DataError(f"data.root {root} has no train/ folder with one folder per class (found: {found})")
    classes = _folders(train)
    if not classes:
        raise DataError(f"{train} contains no folders; it should contain one folder of images per class")
    if len(classes) == 1:
        raise DataError(f"{train} contains only one class, {classes[0]!r}; a classifier needs at least two")
    return classes


def _folders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")))


def _check_classes(root: Path, split: str, classes: tuple[str, ...]) -> None:
    folder = root / split
    if not folder.is_dir():
        return
    unknown = sorted(set(_folders(folder)) - set(classes))
    if unknown:
        raise DataError(
            f"{folder} contains class {unknown[0]!r}, which {root / 'train'} lacks; classes there: {', '.join(classes)}"
        )
    if next(_walk(folder), None) is None:
        raise DataError(f"{folder} contains no images; remove it, or fill it with CLASS/*.jpg")


def _check_no_class_is_empty(root: Path, classes: tuple[str, ...], files: list[ImageFile]) -> None:
    if not files:
        raise DataError(f"{root / 'train'} contains no images (files ending in {', '.join(sorted(IMAGE_SUFFIXES))})")
    empty = sorted(set(range(len(classes))) - {file.label for file in files})
    if empty:
        raise DataError(f"{root / 'train' / classes[empty[0]]} contains no images; add some or remove the folder")


def _scan_split(root: Path, split: str, classes: tuple[str, ...]) -> Iterator[ImageFile]:
    for label, name in enumerate(classes):
        folder = root / split / name
        if not folder.is_dir():  # `val/` and `test/` need not have every class
            continue
        for entry in sorted(_walk(folder), key=lambda entry: entry.path):
            try:
                status = entry.stat()
                size, mtime_ns = status.st_size, status.st_mtime_ns
            except OSError:  # kept, so that it is reported by name when it cannot be read
                size, mtime_ns = -1, -1
            inner = entry.path.removeprefix(f"{folder}{os.sep}").replace(os.sep, "/")
            yield ImageFile(f"{split}/{name}/{inner}", label, size, mtime_ns)


def _walk(folder: Path | str) -> "Iterator[os.DirEntry[str]]":
    """Images at any depth. Links to folders are not followed: they may form cycles.

    Raises:
        DataError: a folder cannot be listed.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:
            yield entry

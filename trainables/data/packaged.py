"""Data sets that come as arrays: scikit-learn's digits and torchvision's downloads."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from trainables.config import DataConfig
from trainables.config.canonical import digest
from trainables.config.references import expanded_path
from trainables.data.dataset_split import ArrayPart, Arrays
from trainables.data.splits import stratified_split
from trainables.errors import DataError


def digits_part(config: DataConfig, *, sealed: bool) -> ArrayPart:
    """The digits, which come without a test part: a stratified share of them is sealed."""
    chosen = {"test_fraction": config.test_fraction, "split_seed": config.split_seed, "sealed": sealed}
    return ArrayPart(digest({"set": "digits", **chosen}), partial(_load_digits, config, sealed=sealed))


def _load_digits(config: DataConfig, *, sealed: bool) -> Arrays:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # published as 0..16
    classes = tuple(str(name) for name in bunch.target_names)
    names = _index_names("train", len(labels))
    rest, held = stratified_split(names, labels, config.test_fraction, config.split_seed, "test", classes)
    rows = held if sealed else rest
    return Arrays(images[rows], tuple(names[row] for row in rows), labels[rows], classes)


@dataclass(frozen=True)
class TorchvisionSet:
    """A torchvision data set and the files it reads, relative to the root."""

    class_name: str
    training_files: tuple[str, ...]
    test_files: tuple[str, ...]
    class_label: Callable[[str], str] = str
    """Maps torchvision's class names to ours."""

    def part(self, config: DataConfig, *, sealed: bool) -> ArrayPart:
        """The published training or test part; downloads it if missing.

        Raises:
            DataError: the files are missing and cannot be downloaded.
        """
        root = expanded_path(config.root or "data")
        if not all((root / name).is_file() for name in (*self.training_files, *self.test_files)):
            self._download(root)
        files = self.test_files if sealed else self.training_files
        stamps = [(name, (root / name).stat().st_size, (root / name).stat().st_mtime_ns) for name in files]
        return ArrayPart(digest({"set": self.class_name, "files": stamps}), partial(self._load, root, sealed=sealed))

    def _open(self, root: Path, **options: bool) -> Any:
        import torchvision.datasets

        try:
            return getattr(torchvision.datasets, self.class_name)(str(root), **options)
        except Exception as error:  # URLError, RuntimeError, errors of pickle and struct
            needed = "\n".join(f"  {root / name}" for name in (*self.training_files, *self.test_files))
            raise DataError(
                f"{self.class_name} cannot be read from {root.absolute()} or downloaded "
                f"({' '.join(str(error).split())[:200]}).\nSet data.root, or put these files in place:\n{needed}"
            ) from error

    def _download(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(root / f".{self.class_name}.lock")
            lock.acquire()
        except OSError as error:
            raise DataError(
                f"{self.class_name} is not in {root.absolute()}, which cannot be written: {error}"
            ) from error
        with lock:
            self._open(root, train=True, download=True)

    def _load(self, root: Path, *, sealed: bool) -> Arrays:
        dataset = self._open(root, train=not sealed, download=False)
        labels = np.asarray(dataset.targets, dtype=np.int64)
        images: NDArray[np.uint8] = np.asarray(dataset.data, dtype=np.uint8)
        classes = tuple(self.class_label(name) for name in dataset.classes)
        return Arrays(images, _index_names("test" if sealed else "train", len(labels)), labels, classes)


def _index_names(part: str, count: int) -> tuple[str, ...]:
    return tuple(f"{part}/{index:05d}" for index in range(count))

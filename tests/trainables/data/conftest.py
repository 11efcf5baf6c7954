"""Small image folders on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.config import DataConfig

MakeFolder = Callable[..., DataConfig]


def _save_photo(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> None:
    """A smooth random picture, so that JPEG keeps it nearly as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).save(path)


SavePhoto = Callable[..., None]


@pytest.fixture
def save_photo() -> SavePhoto:
    return _save_photo


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """`make_folder({"train/ants": 6, "train/bees": 6}, image_size=16)` writes images; returns their configuration."""

    def make(counts: dict[str, int], **settings: object) -> DataConfig:
        root = tmp_path / "photos"
        root.mkdir(exist_ok=True)
        for number, (folder, count) in enumerate(counts.items()):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                _save_photo(root / folder / f"{index:03d}.jpg", seed=1000 * number + index)
        defaults: dict[str, object] = {"image_size": 16, "cache_dir": tmp_path / "cache"}
        return DataConfig(dataset="image_folder", root=root, **(defaults | settings))

    return make


@pytest.fixture
def two_classes(make_folder: MakeFolder) -> DataConfig:
    return make_folder({"train/ants": 10, "train/bees": 15})

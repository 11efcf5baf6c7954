"""The data layer on real photographs and digits."""

import tarfile
from pathlib import Path

import pytest

from trainables.config import DataConfig
from trainables.data.training_data import open_test_data, prepare_training_data

pytestmark = pytest.mark.real_data


def test_photographs_as_found(photographs: Path, tmp_path: Path) -> None:
    config = DataConfig(dataset="image_folder", root=photographs, image_size=64, cache_dir=tmp_path)
    data, sealed = prepare_training_data(config), open_test_data(config)
    assert data.classes == ("ants", "bees")
    assert len(data.validation_indices) == 153
    assert len(data.labels) + len(sealed.labels) + len(data.unreadable) + len(sealed.unreadable) == 398
    # ImageNet's statistics, nearly: these are ordinary photographs.
    assert data.mean == pytest.approx((0.485, 0.456, 0.406), abs=0.08)


def test_mnist(packed_data: Path, tmp_path: Path) -> None:
    with tarfile.open(packed_data / "mnist.tar.xz") as archive:
        archive.extractall(tmp_path / "data", filter="data")
    config = DataConfig(dataset="mnist", root=tmp_path / "data", cache_dir=tmp_path / "cache")
    data, sealed = prepare_training_data(config), open_test_data(config)
    assert (len(data.train_indices), len(data.validation_indices), len(sealed.labels)) == (48_000, 12_000, 10_000)
    assert data.mean == pytest.approx((0.1307,), abs=0.001)
    assert data.std == pytest.approx((0.3081,), abs=0.001)

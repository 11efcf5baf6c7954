import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets.mnist
import torchvision.datasets.utils

from trainables.config import DataConfig
from trainables.data.sources import open_sealed_part, open_training_part
from trainables.errors import DataError


def write_idx(path: Path, array: np.ndarray) -> None:
    """MNIST's own file format."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def mnist(tmp_path: Path) -> DataConfig:
    """A small MNIST: the real reader reads it."""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 20)):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", generator.integers(0, 256, (count, 28, 28)))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(count) % 10)
    return DataConfig(dataset="mnist", root=tmp_path / "data", cache_dir=tmp_path / "cache")


def test_mnist_from_its_files(mnist: DataConfig) -> None:
    training, sealed = open_training_part(mnist).listing, open_sealed_part(mnist).listing
    assert training.classes == tuple("0123456789")
    assert (len(training.names), len(sealed.names)) == (60, 20)
    assert training.names[17] == "train/00017"
    assert sealed.names[3] == "test/00003"
    assert training.labels[:12].tolist() == [*range(10), 0, 1]


def test_a_changed_file_is_another_identity(mnist: DataConfig) -> None:
    before = open_training_part(mnist).identity, open_sealed_part(mnist).identity
    assert mnist.root is not None
    write_idx(mnist.root / "MNIST/raw/train-labels-idx1-ubyte", np.zeros(60))
    after = open_training_part(mnist).identity, open_sealed_part(mnist).identity
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_files_that_cannot_be_read(mnist: DataConfig) -> None:
    assert mnist.root is not None
    (mnist.root / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"rubbish")
    with pytest.raises(DataError, match="MNIST cannot be read from"):
        _ = open_training_part(mnist).listing


@pytest.mark.parametrize(
    ("dataset", "file"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
        ("fashion_mnist", "FashionMNIST/raw/t10k-labels-idx1-ubyte"),
        ("cifar10", "cifar-10-batches-py/data_batch_5"),
        ("cifar100", "cifar-100-python/train"),
    ],
)
def test_a_download_that_fails_says_which_files_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, file: str
) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise RuntimeError("Name or service not known")

    for module in (torchvision.datasets.mnist, torchvision.datasets.cifar):
        monkeypatch.setattr(module, "download_and_extract_archive", unreachable)
    config = DataConfig(dataset=dataset, root=tmp_path / "data")
    with pytest.raises(DataError, match="Name or service not known") as caught:
        open_training_part(config)
    assert str(tmp_path / "data" / file) in str(caught.value)


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"MNIST is not in .*, which cannot be written"):
        open_training_part(DataConfig(dataset="mnist", root=tmp_path / "data"))


def test_digits_are_split_before_anything_is_cached() -> None:
    config = DataConfig(dataset="digits")
    training, sealed = open_training_part(config), open_sealed_part(config)
    assert not set(training.listing.names) & set(sealed.listing.names)
    assert len(training.listing.names) + len(sealed.listing.names) == 1797
    assert training.identity != sealed.identity
    other_seed = open_training_part(config.model_copy(update={"split_seed": 1}))
    assert other_seed.identity != training.identity

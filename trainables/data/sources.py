"""The data sets by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from trainables.config import DataConfig
from trainables.config.data import DatasetName
from trainables.config.references import secrets_hidden
from trainables.data.dataset_split import DatasetSplit
from trainables.data.decoding import ImageFormat
from trainables.data.folders import sealed_files, training_files
from trainables.data.packaged import TorchvisionSet, digits_part


class _OpenPart(Protocol):
    def __call__(self, config: DataConfig, *, sealed: bool) -> DatasetSplit: ...


@dataclass(frozen=True)
class Dataset:
    """One data set that a study file can name."""

    description: str
    size: int | None
    """Published height and width in pixels; None: set in the study file."""
    channels: int
    classes: int | None
    """None: one per class folder."""
    open_part: _OpenPart
    """Finds the training part (train and validation), or with `sealed` the test part; decodes nothing."""


def _folder_part(config: DataConfig, *, sealed: bool) -> DatasetSplit:
    return sealed_files(config) if sealed else training_files(config)


def _mnist_like(class_name: str) -> _OpenPart:
    raw = f"{class_name}/raw"
    return TorchvisionSet(
        class_name,
        training_files=(f"{raw}/train-images-idx3-ubyte", f"{raw}/train-labels-idx1-ubyte"),
        test_files=(f"{raw}/t10k-images-idx3-ubyte", f"{raw}/t10k-labels-idx1-ubyte"),
        class_label=lambda name: name.split(" - ")[0],  # "7 - seven" in MNIST
    ).part


_CIFAR10 = TorchvisionSet(
    "CIFAR10",
    training_files=tuple(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)),
    test_files=("cifar-10-batches-py/test_batch",),
)
_CIFAR100 = TorchvisionSet(
    "CIFAR100", training_files=("cifar-100-python/train",), test_files=("cifar-100-python/test",)
)

DATASETS: Mapping[DatasetName, Dataset] = MappingProxyType(
    {
        "digits": Dataset("1,797 handwritten digits of scikit-learn; no download", 8, 1, 10, digits_part),
        "mnist": Dataset("70,000 handwritten digits", 28, 1, 10, _mnist_like("MNIST")),
        "fashion_mnist": Dataset("70,000 pictures of clothes", 28, 1, 10, _mnist_like("FashionMNIST")),
        "cifar10": Dataset("60,000 photographs of animals and vehicles", 32, 3, 10, _CIFAR10.part),
        "cifar100": Dataset("60,000 photographs of 100 kinds of things", 32, 3, 100, _CIFAR100.part),
        "image_folder": Dataset(
            "your own images: root/train/CLASS/*, optional val/, test/", None, 3, None, _folder_part
        ),
    }
)


def image_format(config: DataConfig) -> ImageFormat:
    """The configured image format; defaults are the data set's."""
    dataset = DATASETS[config.dataset]
    size = config.image_size or dataset.size
    assert size is not None, "DataConfig requires image_size of an image folder"
    return ImageFormat(size, config.channels or dataset.channels, config.resize)


def open_training_part(config: DataConfig) -> DatasetSplit:
    """Images that trials may see: training and validation.

    Raises:
        DataError: they are missing, or a classifier cannot be trained on them.
    """
    with secrets_hidden(config.root):
        return DATASETS[config.dataset].open_part(config, sealed=False)


def open_sealed_part(config: DataConfig) -> DatasetSplit:
    """The sealed test images.

    Raises:
        DataError: like `open_training_part`.
    """
    with secrets_hidden(config.root):
        return DATASETS[config.dataset].open_part(config, sealed=True)

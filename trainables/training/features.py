"""What a trial trains: the whole classifier on images or, above a frozen backbone, its head on the features below it.

Features are computed once per node and kept beside the decoded images, in `CACHE/features/NAME.npy`: one row an image
of the training and validation splits. Beside it lie the backbone's weights, `NAME.pt`, for the trials' checkpoints to
link to. NAME ends in a hash of the images, of the backbone's weights themselves and of the number format, so that
whatever changes a feature leads to another file; old files may be deleted at any time. A file appears by one rename
when it is complete and synced; its builder holds NAME.npy.lock.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.config import AugmentationConfig, TrialConfig
from trainables.config.models import BackboneConfig
from trainables.data.batches import iterate_batches
from trainables.data.cache import cache_directory, explain_disk_errors
from trainables.data.training_data import TrainingData
from trainables.data.transforms.augmenter import Augmenter
from trainables.data.transforms.geometric import to_unit
from trainables.errors import DataError
from trainables.models.backbone import Backbone
from trainables.models.classifier import Classifier
from trainables.training.device import Compute

_LAYOUT_VERSION = 1
"""Raise it when the features or their file change: old files are then left alone."""

_BATCH = 64
"""Images at once through the backbone; more were no faster at 32 to 224 pixels."""


@dataclass(frozen=True)
class Frozen:
    """Weights of the classifier that are not the module's and stay as they are."""

    weights: dict[str, Tensor]
    """By their names in the classifier."""
    file: Path
    """With the same weights; it may have been deleted."""


@dataclass(frozen=True, eq=False)
class Task:
    """A module that learns, and the examples it learns from."""

    module: nn.Module
    """Inputs of one batch to logits, N x classes."""
    inputs: Tensor
    """N x ...: images, uint8, or features, float; mapped from disk. Do not write to it."""
    labels: Tensor
    """int64, N."""
    train_indices: Tensor
    """int64, rows of `inputs`, in the order of `TrainingData`'s; so are `validation_indices`."""
    validation_indices: Tensor
    augment: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
    """Inputs and labels of one training batch to what the module and the loss get."""
    frozen: Frozen | None = None


def image_task(classifier: Classifier, config: TrialConfig, data: TrainingData) -> Task:
    """The classifier as a whole, from images."""
    augmenter = Augmenter(config.augmentation, len(data.classes))
    return Task(classifier, data.images, data.labels, data.train_indices, data.validation_indices, augmenter)


def has_fixed_features(classifier: Classifier, augmentation: AugmentationConfig) -> bool:
    """Whether the head is all that learns, and sees the same features of an image in every epoch."""
    body = classifier.body
    return isinstance(body, Backbone) and body.is_frozen and augmentation == AugmentationConfig()


def _unchanged(features: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return features, labels


def head_task(classifier: Classifier, config: TrialConfig, data: TrainingData, compute: Compute) -> Task:
    """The head alone learns, from features, computed first where no trial of this node has done so.

    The head remains a part of the classifier: what it learns, the classifier knows.

    Args:
        classifier: one that `has_fixed_features`, on the device.
        config: of the trial.
        data: what the trial trains on.
        compute: how the trial computes; features have the number format in which they come out of the backbone.

    Raises:
        DataError: the cache cannot be written or read.
    """
    assert isinstance(classifier.body, Backbone)
    assert isinstance(config.model, BackboneConfig)
    rows, _ = torch.cat([data.train_indices, data.validation_indices]).sort()
    key = _key(classifier, config.model, data, compute)
    path = cache_directory(config.data) / "features" / f"{config.model.architecture}-{key[:24]}.npy"
    with explain_disk_errors("the backbone's features", path.parent):
        if not path.exists():
            _build_locked(path, classifier, data, rows, compute)
        features = _load(path)
    return Task(
        module=classifier.body.head,
        inputs=features,
        labels=data.labels[rows],
        train_indices=torch.searchsorted(rows, data.train_indices),
        validation_indices=torch.searchsorted(rows, data.validation_indices),
        augment=_unchanged,
        frozen=Frozen(_trunk(classifier), path.with_suffix(".pt")),
    )


def _key(classifier: Classifier, model: BackboneConfig, data: TrainingData, compute: Compute) -> str:
    """Hex digest of all that decides the features. The weights count by content, wherever they came from."""
    meaning = [
        _LAYOUT_VERSION,
        data.fingerprint,  # images, splits and normalisation
        (model.architecture, model.cut_at, model.head == "conv"),
        (compute.device.type, compute.bf16),
        torch.__version__,
    ]
    content = hashlib.sha256(repr(meaning).encode())
    assert isinstance(classifier.body, Backbone)
    for name, value in classifier.body.trunk.state_dict().items():
        content.update(name.encode())
        content.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def _build_locked(path: Path, classifier: Classifier, data: TrainingData, rows: Tensor, compute: Compute) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.exists():  # another trial computed them while this one waited
            return
        with _appearing(path.with_suffix(".pt")) as weights, _appearing(path) as features:
            torch.save(_trunk(classifier), weights)
            _write(features, _computed(classifier, data, rows, compute), len(rows))


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    """A file to be written, which has its name once it is complete and on disk."""
    building = path.with_name(f"{path.name}.building")
    try:
        with open(building, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        building.rename(path)
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def _trunk(classifier: Classifier) -> dict[str, Tensor]:
    """The backbone's weights, by their names in the classifier."""
    return {name: value for name, value in classifier.state_dict().items() if name.startswith("body.trunk.")}


@torch.no_grad()
def _computed(classifier: Classifier, data: TrainingData, rows: Tensor, compute: Compute) -> Iterator[Tensor]:
    """Features of the images in `rows`, in batches, on the CPU."""
    classifier.eval()
    assert isinstance(classifier.body, Backbone)
    for images, _ in iterate_batches(data.images, data.labels, rows, _BATCH, compute.device):
        with compute.autocast():
            features = classifier.body.features(classifier.normalize(to_unit(images)))
        yield features.cpu().contiguous()


def _write(file: BinaryIO, batches: Iterator[Tensor], count: int) -> None:
    """Write an .npy file batch by batch; not mapped, so that a full disk is an error here and no SIGBUS."""
    for number, batch in enumerate(batches):
        array = _to_numpy(batch)
        if number == 0:
            shape = (count, *array.shape[1:])
            header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)


def _to_numpy(batch: Tensor) -> NDArray[np.generic]:
    """numpy knows no bf16: its bits are kept as uint16."""
    array: NDArray[np.generic] = (batch.view(torch.uint16) if batch.dtype == torch.bfloat16 else batch).numpy()
    return array


def _load(path: Path) -> Tensor:
    """Copy-on-write, as the images are: pages are shared until somebody writes to them."""
    try:
        features = torch.from_numpy(np.load(path, mmap_mode="c"))
    except ValueError as error:
        raise DataError(f"the features in {path} are damaged ({error}); delete that file and start again") from error
    return features.view(torch.bfloat16) if features.dtype == torch.uint16 else features

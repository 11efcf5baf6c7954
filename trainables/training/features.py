"""What a trial trains: the whole classifier on images or, with a frozen backbone, its head on the backbone's features.

Features are computed once per node and stored next to the decoded images:

    CACHE/uUID/features/NAME/  features.npy  weights.pt  entry.json

`features.npy` has one row per image of the training and validation splits, `weights.pt` the backbone's weights, to
which the trials' checkpoints are linked, and `entry.json` the digests of both. NAME ends in a hash of the images, the
backbone's weights and the number format, so anything that changes a feature leads to another entry. Old entries may be
deleted at any time. See `trainables.data.cache_folder` for whose entries are used and when they are checked.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.config import AugmentationConfig, TrialConfig
from trainables.config.canonical import digest
from trainables.config.models import BackboneConfig
from trainables.config.references import secrets_hidden
from trainables.data.batches import iterate_batches
from trainables.data.cache_folder import DamagedEntryError, cache_directory, check_once, open_entry
from trainables.data.training_data import TrainingData
from trainables.data.transforms.augmenter import Augmenter
from trainables.data.transforms.geometric import to_unit
from trainables.models.backbone import Backbone
from trainables.models.classifier import Classifier
from trainables.safe_files import PRIVATE_FILE, open_new
from trainables.training.device import Compute

_LAYOUT_VERSION = 2
"""Increment when the features or their file change; old files are then ignored."""

_FEATURES, _WEIGHTS, _ENTRY = "features.npy", "weights.pt", "entry.json"

_LINKED = 0o666
"""Mode of the weights file: in a study's folder the umask decides who can read it, and here the folder is private."""

_BATCH = 64
"""Batch size for the backbone; larger batches were no faster at 32 to 224 pixels."""


@dataclass(frozen=True)
class Frozen:
    """Weights of the classifier outside the trained module, which do not change."""

    weights: dict[str, Tensor]
    """By their names in the classifier."""
    file: Path
    """File with the same weights; may have been deleted."""


@dataclass(frozen=True, eq=False)
class Task:
    """A module to train, and its training examples."""

    module: nn.Module
    """Maps inputs of one batch to logits, N x classes."""
    inputs: Tensor
    """N x ...: images, uint8, or features, float; mapped from disk. Do not write to it."""
    labels: Tensor
    """int64, N."""
    train_indices: Tensor
    """int64, rows of `inputs`, in the order of `TrainingData`; likewise `validation_indices`."""
    validation_indices: Tensor
    augment: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
    """Maps inputs and labels of one training batch to the module's inputs and the loss targets."""
    frozen: Frozen | None = None


def image_task(classifier: Classifier, config: TrialConfig, data: TrainingData) -> Task:
    """Task to train the whole classifier on images."""
    augmenter = Augmenter(config.augmentation, len(data.classes))
    return Task(classifier, data.images, data.labels, data.train_indices, data.validation_indices, augmenter)


def has_fixed_features(classifier: Classifier, augmentation: AugmentationConfig) -> bool:
    """Whether only the head is trained, on the same features of each image in every epoch."""
    body = classifier.body
    return isinstance(body, Backbone) and body.is_frozen and augmentation == AugmentationConfig()


def _unchanged(features: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return features, labels


def head_task(classifier: Classifier, config: TrialConfig, data: TrainingData, compute: Compute) -> Task:
    """Task to train only the head, on features; computes them first if no trial on this node has done so.

    The head remains part of the classifier, so training updates the classifier.

    Args:
        classifier: a classifier that `has_fixed_features`, on the device.
        config: the trial's configuration.
        data: the trial's training data.
        compute: device and precision; features keep the number format of the backbone's output.

    Raises:
        DataError: the cache cannot be written or read.
    """
    assert isinstance(classifier.body, Backbone)
    assert isinstance(config.model, BackboneConfig)
    rows, _ = torch.cat([data.train_indices, data.validation_indices]).sort()
    key = _key(classifier, config.model, data, compute)
    with secrets_hidden(config.data.cache_dir):
        entry = cache_directory(config.data) / "features" / f"{config.model.architecture}-{key[:24]}"
        features = open_entry(entry, "the backbone's features", _load, partial(_build, classifier, data, rows, compute))
    return Task(
        module=classifier.body.head,
        inputs=features,
        labels=data.labels[rows],
        train_indices=torch.searchsorted(rows, data.train_indices),
        validation_indices=torch.searchsorted(rows, data.validation_indices),
        augment=_unchanged,
        frozen=Frozen(_trunk(classifier), entry / _WEIGHTS),
    )


def _key(classifier: Classifier, model: BackboneConfig, data: TrainingData, compute: Compute) -> str:
    """Hex digest of everything that affects the features. Weights count by content, regardless of their source."""
    meaning = [
        _LAYOUT_VERSION,
        data.fingerprint,  # images, splits and normalization
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


def _build(classifier: Classifier, data: TrainingData, rows: Tensor, compute: Compute, folder: Path) -> None:
    with _synced(folder / _WEIGHTS, _LINKED) as weights:
        torch.save(_trunk(classifier), weights)
    with _synced(folder / _FEATURES) as features:
        _write(features, _computed(classifier, data, rows, compute), len(rows))
    entry = {"name": folder.name.removesuffix(".building"), "files": _digests(folder)}
    with _synced(folder / _ENTRY) as file:
        file.write(json.dumps({**entry, "digest": digest(entry)}).encode())


@contextlib.contextmanager
def _synced(path: Path, mode: int = PRIVATE_FILE) -> Iterator[BinaryIO]:
    """A new file that is synced to disk after writing."""
    with open_new(path, mode) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the features and weights files."""
    found = {}
    for name in (_FEATURES, _WEIGHTS):
        with open(folder / name, "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


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
    """Write an .npy file batch by batch; not mapped, so that a full disk raises an error instead of SIGBUS."""
    for number, batch in enumerate(batches):
        array = _to_numpy(batch)
        if number == 0:
            shape = (count, *array.shape[1:])
            header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)


def _to_numpy(batch: Tensor) -> NDArray[np.generic]:
    """Convert to numpy, which has no bf16: its bits are stored as uint16."""
    array: NDArray[np.generic] = (batch.view(torch.uint16) if batch.dtype == torch.bfloat16 else batch).numpy()
    return array


def _load(folder: Path) -> Tensor:
    """Map the features copy-on-write, like the images: pages are shared until written to."""
    try:
        check_once(folder, (_FEATURES, _WEIGHTS, _ENTRY), partial(_check, folder))
        features = torch.from_numpy(np.load(folder / _FEATURES, mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedEntryError(f"the features in {folder} are damaged ({error})") from error
    return features.view(torch.bfloat16) if features.dtype == torch.uint16 else features


def _check(folder: Path) -> None:
    """Compare the files with what was written.

    Raises:
        ValueError: a difference.
    """
    entry = json.loads((folder / _ENTRY).read_bytes())
    said = entry.pop("digest")
    if digest(entry) != said or entry["name"] != folder.name:
        raise ValueError(f"{_ENTRY} was changed after it was written, or belongs to another entry")
    for name, found in _digests(folder).items():
        if found != entry["files"][name]:
            raise ValueError(f"{name} was changed after it was written")

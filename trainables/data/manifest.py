"""Manifest of the splits: which image is in which, so that others can check a result."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.config import DataConfig
from trainables.config.canonical import digest
from trainables.data.sources import open_sealed_part
from trainables.data.training_data import TrainingData


def split_manifest(config: DataConfig, data: TrainingData) -> dict[str, Any]:
    """Describe the splits of `data` and the sealed test split as a JSON-serializable object that includes its own hash.

    Test images are listed by name without decoding them.

    Raises:
        DataError: the test split is missing.
    """
    sealed = open_sealed_part(config).listing
    labels = data.labels.numpy()
    train, validation = data.train_indices.numpy(), data.validation_indices.numpy()
    splits = {
        "train": _split([data.names[row] for row in train], labels[train], data.classes),
        "validation": _split([data.names[row] for row in validation], labels[validation], data.classes),
        "test": _split(sealed.names, sealed.labels, sealed.classes),
    }
    content = {
        "dataset": config.dataset,
        "classes": list(data.classes),
        "data_fingerprint": data.fingerprint,
        "unreadable": [{"file": file.path, "reason": file.reason} for file in data.unreadable],
        "splits": splits,
    }
    return {"sha256": digest(content), **content}


def _split(names: Sequence[str], labels: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    counts = Counter(labels.tolist())
    return {
        "images": len(names),
        "per_class": {name: counts[label] for label, name in enumerate(classes)},
        "sha256": digest(list(names)),
        "files": list(names),
    }

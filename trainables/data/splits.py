"""Stratified splits that depend only on names, labels and a seed.

Images are ordered by a hash of their names, which is the same on every machine and library version. An added or removed
file moves at most one other image of its class to another split. A shuffle would redraw everything, and images that a
model was trained on could end up in the sealed test.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.errors import DataError

Indices = NDArray[np.int64]


def stratified_split(
    names: Sequence[str], labels: NDArray[np.int64], fraction: float, seed: int, purpose: str, classes: Sequence[str]
) -> tuple[Indices, Indices]:
    """Split positions 0..N-1 into (rest, held), both ascending; `held` gets `fraction` of each class, rounded.

    Each class has at least one image on both sides. `purpose` (for example `test`) makes splits with the same seed
    independent. With a fraction of 0, `held` is empty.

    Raises:
        DataError: a class with fewer than two images.
    """
    if fraction == 0.0:
        return np.arange(len(names), dtype=np.int64), np.empty(0, np.int64)
    held: list[NDArray[np.int64]] = []
    for label, name in enumerate(classes):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(
                f"class {name!r} has too few images for the {purpose} split: {len(members)}, "
                "and at least 2 are needed; add images or remove the class"
            )
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        order = sorted(members.tolist(), key=lambda index: _place(names[index], seed, purpose))
        held.append(np.array(order[:count], np.int64))
    chosen = np.sort(np.concatenate(held)).astype(np.int64)
    return np.setdiff1d(np.arange(len(names), dtype=np.int64), chosen), chosen


def _place(name: str, seed: int, purpose: str) -> bytes:
    return hashlib.blake2b(f"{purpose}\0{seed}\0{name}".encode("utf-8", "surrogateescape"), digest_size=16).digest()

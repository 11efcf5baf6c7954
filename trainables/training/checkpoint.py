"""Checkpoints of one trial: written atomically, and checked when read.

A trial's folder contains `last.pt` and its predecessor `previous.pt` (everything needed to resume), and `best.pt` (the
weights of the best epoch, for use after training). If only the head is trained, `frozen.pt` contains the weights below
it, and the other files only what changes.
"""

import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.errors import InputError
from trainables.models.weights import UNREADABLE_ARCHIVE, check_archive
from trainables.permissions import file_mode, make_folder
from trainables.safe_files import refuse_link, remove_file, writing_beside

_LAST, _PREVIOUS, _BEST, _FROZEN = "last.pt", "previous.pt", "best.pt", "frozen.pt"

_UNREADABLE = (*UNREADABLE_ARCHIVE, pickle.UnpicklingError, KeyError)


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read; training continues."""


@dataclass(frozen=True)
class Checkpoint:
    """State of a trial between two epochs."""

    trial_hash: str
    """`TrialConfig.canonical_hash`; checkpoints of other trials are never used."""
    history: list[dict[str, float]]
    """Metrics of every completed epoch; its length is the epoch."""
    model: dict[str, Any]
    optimizer: dict[str, Any]
    random_states: dict[str, torch.Tensor]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `last.pt`, keeping the old one as `previous.pt`.

    Raises:
        OSError: it cannot be written.
        UnsafePathError: its path is a link.
    """
    make_folder(folder)
    with writing_beside(folder / _LAST, file_mode(folder)) as file:
        torch.save(checkpoint.__dict__, file)
        file.flush()
        os.fsync(file.fileno())  # the new one is on disk before the old one is renamed
        if (folder / _LAST).exists():
            os.replace(folder / _LAST, folder / _PREVIOUS)


def load_checkpoint(
    folder: Path, trial_hash: str, check: Callable[[Checkpoint], None] = lambda _: None
) -> Checkpoint | None:
    """The newest intact checkpoint of this trial; None if there is none.

    Args:
        folder: the trial's folder.
        trial_hash: `TrialConfig.canonical_hash`.
        check: raises ValueError for a checkpoint that cannot be this trial's, whatever its hash.

    Raises:
        UnsafePathError: its path is a link.
    """
    for name in (_LAST, _PREVIOUS):
        path = folder / name
        refuse_link(path)
        if not path.exists():
            continue
        try:
            checkpoint = Checkpoint(**_read(path))
            if checkpoint.trial_hash != trial_hash:
                continue
            check(checkpoint)
        except (*_UNREADABLE, TypeError) as error:
            message = f"{path} cannot be read ({error}); trying the previous one"
            warnings.warn(message, CheckpointWarning, stacklevel=2)
            continue
        return checkpoint
    return None


def save_frozen(folder: Path, weights: dict[str, Any], shared: Path) -> None:
    """Save the weights that training does not change; `load_best` adds them to the others.

    They are usually far larger than everything else, so they are hard-linked from `shared`, a file of the same weights.
    They are written to a separate file if `shared` is missing or on another file system, or if the trial was
    interrupted after creating the link.
    """
    make_folder(folder)
    path = folder / _FROZEN
    try:
        os.link(shared, path)
    except OSError:
        _write(path, weights)


def save_best(folder: Path, model: dict[str, Any]) -> None:
    """Write the weights of the best epoch so far, without those of `save_frozen`."""
    make_folder(folder)
    _write(folder / _BEST, model)


def has_best(folder: Path) -> bool:
    """Whether `load_best` will find weights; does not read them."""
    return (folder / _BEST).is_file()


def load_best(folder: Path) -> dict[str, Any]:
    """State dict of the best epoch, including frozen weights.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    frozen = _read_weights(folder / _FROZEN) if (folder / _FROZEN).exists() else {}
    return {**frozen, **_read_weights(folder / _BEST)}


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    refuse_link(path)
    try:
        weights = _read(path)
        if not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()):
            raise ValueError("it contains more than named tensors")
    except (*_UNREADABLE, AttributeError) as error:  # AttributeError: not a mapping
        raise InputError(f"{path}: the best weights cannot be read ({error})") from error
    return weights


def _read(path: Path) -> dict[str, Any]:
    """Read what `_write` wrote, if undamaged."""
    check_archive(path)
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def remove_resumable(folder: Path) -> None:
    """Delete the files that only an unfinished trial needs."""
    for name in (_LAST, _PREVIOUS):
        remove_file(folder / name, folder, missing_ok=True)


def _write(path: Path, content: object) -> None:
    """Write and sync a temporary file, then rename it to `path`; a failure leaves nothing behind."""
    with writing_beside(path, file_mode(path.parent)) as file:
        torch.save(content, file)

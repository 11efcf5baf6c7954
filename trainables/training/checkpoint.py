"""Checkpoints of one trial: written atomically, read back with care.

A trial's folder holds `last.pt` and the one before it, `previous.pt` (everything needed to go on), and `best.pt` (the
weights of the best epoch, to be used once training is over). Where the head alone is trained, `frozen.pt` holds the
weights below it, and the others only what changes.
"""

import os
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.errors import InputError

_LAST, _PREVIOUS, _BEST, _FROZEN = "last.pt", "previous.pt", "best.pt", "frozen.pt"

_UNREADABLE = (OSError, EOFError, RuntimeError, pickle.UnpicklingError, KeyError, ValueError)
"""What `torch.load` raises on a file that is cut short or overwritten."""


class CheckpointWarning(UserWarning):
    """A checkpoint that could not be written or read; training goes on."""


@dataclass(frozen=True)
class Checkpoint:
    """A trial between two epochs."""

    trial_hash: str
    """`TrialConfig.canonical_hash`; another trial's checkpoint is never used."""
    history: list[dict[str, float]]
    """Metrics of every epoch done; its length is the epoch."""
    model: dict[str, Any]
    optimizer: dict[str, Any]
    random_states: dict[str, torch.Tensor]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `last.pt`, keeping the former one as `previous.pt`."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = _write(folder / _LAST, checkpoint.__dict__)
    if (folder / _LAST).exists():
        os.replace(folder / _LAST, folder / _PREVIOUS)
    os.replace(temporary, folder / _LAST)


def load_checkpoint(folder: Path, trial_hash: str) -> Checkpoint | None:
    """The newest checkpoint of this trial that reads back whole; None if there is none."""
    for name in (_LAST, _PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            checkpoint = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
        except (*_UNREADABLE, TypeError) as error:
            message = f"{path} does not read back ({error}); trying the one before"
            warnings.warn(message, CheckpointWarning, stacklevel=2)
            continue
        if checkpoint.trial_hash == trial_hash:
            return checkpoint
    return None


def save_frozen(folder: Path, weights: dict[str, Any], shared: Path) -> None:
    """Keep the weights that training leaves as they are; `load_best` adds them to the others.

    Mostly they are far larger than all else. So the folder gets a link to `shared`, a file of the same weights; where
    that is gone or on another file system, or the trial was interrupted after it had got its link, a file of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FROZEN
    try:
        os.link(shared, path)
    except OSError:
        os.replace(_write(path, weights), path)


def save_best(folder: Path, model: dict[str, Any]) -> None:
    """Write the weights of the best epoch so far; without those of `save_frozen`."""
    folder.mkdir(parents=True, exist_ok=True)
    os.replace(_write(folder / _BEST, model), folder / _BEST)


def has_best(folder: Path) -> bool:
    """Whether `load_best` finds weights; reads none of them."""
    return (folder / _BEST).is_file()


def load_best(folder: Path) -> dict[str, Any]:
    """State dict of the best epoch, frozen weights and all.

    Raises:
        InputError: a file is missing or does not read back.
    """
    frozen = _read_weights(folder / _FROZEN) if (folder / _FROZEN).exists() else {}
    return {**frozen, **_read_weights(folder / _BEST)}


def _read_weights(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise InputError(f"{path}: the best weights cannot be read ({error})") from error
    return state


def remove_resumable(folder: Path) -> None:
    """Delete what only an unfinished trial needs."""
    for name in (_LAST, _PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def _write(path: Path, content: object) -> Path:
    """Write to a temporary file beside `path`, down to the disk; a failure leaves nothing behind."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary

"""A user's folder in the cache, and how its entries are built, checked and opened.

    CACHE/uUID/KIND/NAME           one entry: a folder that is renamed into place when complete and synced
    CACHE/uUID/KIND/NAME.building  being written under NAME.lock; removed by the next builder if its builder died

Several users may share CACHE (a folder writable by all, with the sticky bit, like /tmp). Each uses only a folder that
they own and that nobody else can write to. An entry is checked against its digests once per process that opens it: in
the driver and in each worker, not in each trial. A damaged entry is rebuilt.
"""

import contextlib
import errno
import os
import secrets
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from trainables.config import DataConfig
from trainables.config.references import expanded_path
from trainables.errors import DataError
from trainables.safe_files import PRIVATE_FILE, PRIVATE_FOLDER, remove_tree, sync_folder

_Entry = TypeVar("_Entry")

_checked: dict[Path, tuple[tuple[int, ...], ...]] = {}
"""Entries that this process has checked, and the state of their files then."""


class CacheWarning(UserWarning):
    """A damaged entry is rebuilt; the work continues."""


class DamagedEntryError(DataError):
    """An entry whose content differs from what its builder wrote."""


def cache_root(config: DataConfig) -> Path:
    """Folder with the caches of all users: `data.cache_dir`, else `$TUNE_CACHE_DIR`, else `~/.cache/tune-cli`."""
    chosen = config.cache_dir or os.environ.get("TUNE_CACHE_DIR") or "~/.cache/tune-cli"
    return expanded_path(chosen)


def cache_directory(config: DataConfig) -> Path:
    """The user's folder in `cache_root`, created with mode 0700 if missing.

    Its name is `uUID`, or `uUID-` and a random suffix if `uUID` belongs to another user or others can write to it.

    Raises:
        DataError: it cannot be created.
    """
    root = cache_root(config)
    name = f"u{os.geteuid()}"
    with explain_disk_errors("decoded images", root):
        for folder in (root / name, *sorted(root.glob(f"{name}-*"))):
            if _is_own(folder):
                return folder
        root.parent.mkdir(parents=True, exist_ok=True)
        root.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            return _made(root / name)
        if _is_own(root / name):  # another process of this user was faster
            return root / name
        return _made(root / f"{name}-{secrets.token_hex(8)}")


def _made(folder: Path) -> Path:
    folder.mkdir(mode=PRIVATE_FOLDER)
    if not _is_own(folder):
        folder.rmdir()
        raise DataError(
            f"a new folder in {folder.parent} belongs to another user, or others may write to it, so decoded images "
            "there could not be trusted; set $TUNE_CACHE_DIR or data.cache_dir to a folder on a local disk"
        )
    return folder


def _is_own(folder: Path) -> bool:
    """Whether it is a folder, not a link, that this user owns and nobody else can write to."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def open_entry(folder: Path, what: str, load: Callable[[Path], _Entry], build: Callable[[Path], None]) -> _Entry:
    """Load an entry, building it first if it is missing or damaged.

    Args:
        folder: folder of the entry, in `cache_directory`.
        what: what it contains, in the plural, for errors.
        load: opens a complete entry and checks it with `check_once`.
        build: fills an empty folder.

    Raises:
        DataError: it cannot be written, or is damaged right after it was built.
    """
    entry = load_or_discard(folder, what, load)
    return _build_locked(folder, what, load, build) if entry is None else entry


def load_or_discard(folder: Path, what: str, load: Callable[[Path], _Entry]) -> _Entry | None:
    """Load an entry; None if it does not exist, or was damaged: it is then deleted, with a `CacheWarning`.

    Raises:
        DataError: a damaged entry cannot be deleted.
    """
    if not os.path.lexists(folder):
        return None
    try:
        return load(folder)
    except DamagedEntryError as error:
        warnings.warn(f"{error}; rebuilding them", CacheWarning, stacklevel=2)
    with explain_disk_errors(what, folder.parent), FileLock(_lock_path(folder), mode=PRIVATE_FILE):
        if not os.path.lexists(folder):
            return None
        try:
            return load(folder)  # another process rebuilt it while this one waited
        except DamagedEntryError:
            remove_tree(folder, folder.parent)
            return None


def check_once(folder: Path, files: Sequence[str], check: Callable[[], None]) -> None:
    """Run `check`, unless this process has already done so and the entry's files have not changed since.

    Raises:
        ValueError: a file is not a regular file owned by this user; also whatever `check` raises.
    """
    seen = tuple(_look_at(folder / name) for name in files)
    if _checked.get(folder) != seen:
        check()
        _checked[folder] = seen


def _look_at(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise ValueError(f"{path.name} is not a regular file owned by the current user")
    # Not ctime: creating a hard link changes it, but not the content.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _build_locked(folder: Path, what: str, load: Callable[[Path], _Entry], build: Callable[[Path], None]) -> _Entry:
    with explain_disk_errors(what, folder.parent):
        folder.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        with FileLock(_lock_path(folder), mode=PRIVATE_FILE):
            if os.path.lexists(folder):
                return load(folder)  # another process built it while this one waited
            _remove_abandoned(folder.parent)
            building = folder.with_name(f"{folder.name}.building")
            remove_tree(building, folder.parent, missing_ok=True)
            building.mkdir(mode=PRIVATE_FOLDER)
            try:
                build(building)
                sync_folder(building)
                building.rename(folder)
                sync_folder(folder.parent)
            except BaseException:
                remove_tree(building, folder.parent, missing_ok=True)
                raise
            return load(folder)


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove_abandoned(kind: Path) -> None:
    """Remove the leftovers of killed builders, whose locks are free."""
    for building in kind.glob("*.building"):
        lock = FileLock(_lock_path(building.with_suffix("")), timeout=0, mode=PRIVATE_FILE)
        with contextlib.suppress(Timeout), lock:
            remove_tree(building, kind, missing_ok=True)


@contextlib.contextmanager
def explain_disk_errors(what: str, folder: Path) -> Iterator[None]:
    """Explain an `OSError` of the cache: `what` (plural) could not be stored in `folder`.

    Raises:
        DataError: instead of the `OSError`.
    """
    try:
        yield
    except OSError as error:
        remedy = "set $TUNE_CACHE_DIR or data.cache_dir to a folder"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"no space left for {what} in {folder}; free some space, or {remedy} on a larger disk"
            ) from error
        raise DataError(
            f"{what} cannot be written to {folder} ({error.strerror or error}); {remedy} that you can write to"
        ) from error

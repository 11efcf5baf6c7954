"""Deletes and replaces files without following links.

Anyone who can write to a folder can put a link where this program is about to delete or write. So a path to delete is
opened from its root one component at a time, refusing links, and a file to write is created under a new name and then
renamed.
"""

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trainables.errors import UnsafePathError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path, root: Path, *, missing_ok: bool = False) -> None:
    """Delete the folder `path` and its contents. Links in it are deleted, their targets are not.

    Args:
        path: below `root`.
        root: nothing outside this folder is touched; its own path may contain links.
        missing_ok: do not raise if `path` does not exist.

    Raises:
        UnsafePathError: `path` is not below `root`, or it or a folder on the way to it is a link.
        OSError: it does not exist, or cannot be deleted.
    """
    with _reached(path, root, missing_ok) as parent:
        if parent is not None:
            shutil.rmtree(path.name, dir_fd=parent)


def remove_file(path: Path, root: Path, *, missing_ok: bool = False) -> None:
    """Delete the file `path`; arguments and errors are those of `remove_tree`."""
    with _reached(path, root, missing_ok) as parent:
        if parent is not None:
            os.unlink(path.name, dir_fd=parent)


@contextlib.contextmanager
def _reached(path: Path, root: Path, missing_ok: bool) -> Iterator[int | None]:
    """The open parent folder of `path`, which exists and is not a link; None if it is missing and `missing_ok`."""
    steps = _steps(path, root)
    with contextlib.ExitStack() as opened:
        try:
            folder = _open_folder(root, opened)
            for step in steps[:-1]:
                _refuse_link(folder, step, path)
                folder = _open_folder(step, opened, folder)
            _refuse_link(folder, steps[-1], path)
        except FileNotFoundError:
            if not missing_ok:
                raise
            yield None
        else:
            yield folder


def _steps(path: Path, root: Path) -> tuple[str, ...]:
    """Names from `root` down to `path`."""
    try:
        steps = path.absolute().relative_to(root.absolute()).parts
    except ValueError:
        steps = ()
    if not steps or ".." in steps:
        raise UnsafePathError(f"{path} is not inside {root}; nothing outside that folder is deleted")
    return steps


def _open_folder(name: str | Path, opened: contextlib.ExitStack, parent: int | None = None) -> int:
    flags = _FOLDER if parent is not None else _FOLDER & ~os.O_NOFOLLOW
    descriptor = os.open(name, flags, dir_fd=parent)
    opened.callback(os.close, descriptor)
    return descriptor


def _refuse_link(folder: int, name: str, path: Path) -> None:
    if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        where = "it" if name == path.name else f"{name!r} in it"
        raise UnsafePathError(
            f"{path} is not deleted because {where} is a link; delete the link if it should not be there"
        )


def open_new(path: Path, mode: int = PRIVATE_FILE) -> BinaryIO:
    """Create `path` for writing; the umask may remove bits from `mode`.

    Raises:
        FileExistsError: the name is taken, even if by a dangling link.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    return open(descriptor, "wb")


@contextlib.contextmanager
def writing_beside(path: Path, mode: int = PRIVATE_FILE) -> Iterator[BinaryIO]:
    """A new file that is renamed to `path` once it is written and synced; a failure changes nothing.

    Raises:
        UnsafePathError: `path` is a link.
        OSError: it cannot be written.
    """
    refuse_link(path)
    arriving = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = open_new(arriving, mode)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(arriving, path)
    except BaseException:
        arriving.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_file(path: Path, content: bytes, mode: int = PRIVATE_FILE) -> None:
    """Replace the content of `path` atomically and sync it; errors are those of `writing_beside`."""
    with writing_beside(path, mode) as file:
        file.write(content)


def refuse_link(path: Path) -> None:
    """Check that `path` is not a link; it need not exist.

    Raises:
        UnsafePathError: it is a link.
    """
    if path.is_symlink():
        raise UnsafePathError(f"{path} is a link to {os.readlink(path)}; replace it with a regular file, or remove it")


def sync_folder(folder: Path) -> None:
    """Sync the directory entries of `folder` to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

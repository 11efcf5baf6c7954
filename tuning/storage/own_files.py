"""Files of a study as they are opened: no links, no pipes, nothing larger than such a file ever is."""

import errno
import os
import stat
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from trainables.errors import InputError, UnsafePathError
from trainables.permissions import file_mode
from tuning.storage.paths import StudyFolder

_REGULAR = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Without the last, opening a named pipe waits until somebody writes to it."""


def open_to_append(path: Path) -> FileIO:
    """Open `path` unbuffered for appending and reading, made where it is missing.

    Raises:
        UnsafePathError: it is a link, or not a regular file.
        OSError: it cannot be opened.
    """
    flags = _REGULAR | os.O_RDWR | os.O_CREAT | os.O_APPEND
    descriptor = _open(path, flags, file_mode(path.parent))
    return open(descriptor, "a+b", buffering=0)


def open_to_read(path: Path) -> BinaryIO:
    """Open `path` for reading; errors are those of `open_to_append`, and `FileNotFoundError`."""
    return open(_open(path, _REGULAR | os.O_RDONLY), "rb")


def read_small(path: Path, limit: int) -> bytes:
    """Content of a file of the program's own.

    Raises:
        FileNotFoundError: it is not there.
        InputError: it is a link, not a regular file, or larger than `limit` bytes.
        OSError: it cannot be read.
    """
    with open_to_read(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InputError(f"{path} is larger than {limit:,} bytes, which no such file of this program is; remove it")
    return content


def refuse_links(folder: StudyFolder) -> None:
    """Check that neither the study's folder nor anything that the program opens in it is a link.

    STORAGE itself may be one, and may lie behind others: its user chose it. What is in it may have come from elsewhere.

    Raises:
        UnsafePathError: names the link and what to do.
    """
    for path in (folder.path, *_entries(folder.path), *_entries(folder.checkpoints)):
        if path.is_symlink():
            raise UnsafePathError(
                f"{path} is a link to {os.readlink(path)}; nothing in a study's folder is read or written through a "
                "link: put the file or folder itself there, or remove the link"
            )


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _open(path: Path, flags: int, mode: int = 0) -> int:
    try:
        descriptor = os.open(path, flags, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafePathError(f"{path} is a link, which is not followed; put the file itself there") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnsafePathError(f"{path} is not a regular file; remove it")
    return descriptor

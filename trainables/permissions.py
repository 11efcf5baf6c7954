"""Who may read what this program makes: its user alone, unless the folder says that a group shares it.

A folder is shared where it belongs to a group on purpose: writable for the group and with the setgid bit, as `chmod
g+ws` leaves it. What is made in such a folder is made as the umask says, and inherits the bit. Everything else is made
0700 and 0600, whatever the umask.
"""

import stat
from pathlib import Path

from trainables.safe_files import PRIVATE_FILE, PRIVATE_FOLDER

_SHARED_FILE, _SHARED_FOLDER = 0o666, 0o777


def file_mode(folder: Path) -> int:
    """Mode for a new file in `folder`, before the umask."""
    return _SHARED_FILE if _is_shared(folder) else PRIVATE_FILE


def make_folder(path: Path) -> None:
    """Make a folder and the folders above it that are missing; one that is there stays as it is.

    Raises:
        OSError: it cannot be made, or something else has its name.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent)
    path.mkdir(_SHARED_FOLDER if _is_shared(path.parent) else PRIVATE_FOLDER, exist_ok=True)


def _is_shared(folder: Path) -> bool:
    mode = folder.stat().st_mode
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)

"""Permissions of created files and folders: private to the user, unless the parent folder is shared with a group.

A folder counts as shared if it is group-writable and has the setgid bit, as after `chmod g+ws`. Files and folders
created in it get the permissions of the umask, and inherit the bit. All others are created with mode 0600 and 0700,
whatever the umask.
"""

import stat
from pathlib import Path

from trainables.safe_files import PRIVATE_FILE, PRIVATE_FOLDER

_SHARED_FILE, _SHARED_FOLDER = 0o666, 0o777


def file_mode(folder: Path) -> int:
    """Mode for a new file in `folder`, before the umask."""
    return _SHARED_FILE if _is_shared(folder) else PRIVATE_FILE


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents; an existing folder is left as it is.

    Raises:
        OSError: it cannot be created, or something else has its name.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent)
    path.mkdir(_SHARED_FOLDER if _is_shared(path.parent) else PRIVATE_FOLDER, exist_ok=True)


def _is_shared(folder: Path) -> bool:
    mode = folder.stat().st_mode
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)

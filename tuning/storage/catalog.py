"""Which studies a storage folder holds."""

import difflib
import os
from pathlib import Path

from trainables.errors import InputError
from tuning.storage.own_files import refuse_links
from tuning.storage.paths import StudyFolder, command_line


def study_names(storage: Path) -> list[str]:
    """Names of all studies in the storage folder, sorted."""
    if not storage.is_dir():
        return []
    return sorted(path.name for path in storage.iterdir() if StudyFolder(storage, path.name).journal.is_file())


def find_study(storage: Path, name: str) -> StudyFolder:
    """The folder of an existing study.

    Raises:
        InputError: there is none of this name (the nearest are listed), or the folder of that name is no study's, or
            there are links in it.
    """
    names = study_names(storage)
    folder = StudyFolder(storage, name)
    if name in names:
        refuse_links(folder)
        return folder
    if name not in ("", ".", "..") and folder.path.exists():
        raise InputError(f"{folder.path} is not a study of this program: it holds no {folder.journal.name}")
    raise InputError(f"no study {name!r} in {storage}; {_instead(name, names, storage)}")


def require_free_name(storage: Path, name: str) -> None:
    """Check that a new study can have this name.

    Raises:
        InputError: there is a study of this name, or a folder that is none; or the storage cannot be written to.
    """
    _require_writable(storage)
    folder = StudyFolder(storage, name)
    refuse_links(folder)
    if folder.journal.exists():
        raise InputError(
            f"the name {name!r} is already in use in {storage}; go on with that study by "
            f"`{folder.command('resume')}`, or give this one another name with --name"
        )
    if folder.path.exists():
        raise InputError(f"{folder.path} exists and is not a study; remove it, or give another name with --name")


def _require_writable(storage: Path) -> None:
    nearest = next(path for path in (storage.absolute(), *storage.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"--storage {storage}: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"--storage {storage}: {nearest} cannot be written to")


def _instead(name: str, names: list[str], storage: Path) -> str:
    if not names:
        start = command_line("run", "FILE", storage=storage)
        return f"there is none yet: start one with `{start}`, or name the folder of your studies by --storage"
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are: {', '.join(names[:10])}" + (f" and {len(names) - 10} more" if len(names) > 10 else "")

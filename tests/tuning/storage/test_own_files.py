"""A study's folder that somebody else has had his hands on."""

import os
from pathlib import Path

import pytest

from trainables.errors import InputError, UnsafePathError
from trainables.permissions import file_mode, make_folder
from tuning.storage.catalog import find_study, require_free_name
from tuning.storage.journal import Journal
from tuning.storage.lock import lock_owner, study_lock
from tuning.storage.own_files import open_to_append, read_small, refuse_links
from tuning.storage.paths import StudyFolder

_NAMES = ["journal.jsonl", "driver.lock", "tracking.json", "tracking.lock", "splits.json", "checkpoints", "ray"]


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "studies", "s")
    folder.trial_checkpoints(0).mkdir(parents=True)
    folder.journal.touch()
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("precious")
    return tmp_path / "outside"


@pytest.mark.parametrize("name", [*_NAMES, "checkpoints/00003"])
@pytest.mark.parametrize("target", ["precious", ".", "nowhere"])
def test_a_link_in_a_study_is_refused_and_named(folder: StudyFolder, outside: Path, name: str, target: str) -> None:
    path = folder.path / name
    if path.is_dir():
        path.rename(outside / "former")
    path.unlink(missing_ok=True)
    path.symlink_to(outside / target)
    with pytest.raises(UnsafePathError, match=f"{name} is a link to .*; .* remove the link"):
        refuse_links(folder)
    if folder.journal.is_file():
        with pytest.raises(UnsafePathError, match="is a link"):
            find_study(folder.storage, "s")
    with pytest.raises(InputError, match="is a link"):
        require_free_name(folder.storage, "s")
    assert (outside / "precious").read_text() == "precious"


def test_a_study_that_is_a_link_is_refused_and_a_storage_that_is_one_is_the_users_choice(
    folder: StudyFolder, tmp_path: Path
) -> None:
    (folder.storage / "alias").symlink_to(folder.path)
    with pytest.raises(UnsafePathError, match="alias is a link"):
        find_study(folder.storage, "alias")
    (tmp_path / "other").symlink_to(folder.storage)
    assert find_study(tmp_path / "other", "s").name == "s"


def test_journal_and_lock_are_not_opened_through_links(folder: StudyFolder, outside: Path) -> None:
    folder.journal.unlink()
    for path in (folder.journal, folder.lock):
        path.symlink_to(outside / "precious")
    with pytest.raises(UnsafePathError, match="journal.jsonl is a link"):
        Journal(folder.journal)
    with pytest.raises(UnsafePathError, match="driver.lock is a link"), study_lock(folder):
        pass
    with pytest.raises(UnsafePathError, match="driver.lock is a link"):
        lock_owner(folder)
    assert (outside / "precious").read_text() == "precious"


def test_a_pipe_is_refused_and_not_waited_for(folder: StudyFolder) -> None:
    os.mkfifo(folder.lock)
    with pytest.raises(UnsafePathError, match="not a regular file"):
        lock_owner(folder)
    with pytest.raises(UnsafePathError, match="not a regular file"):
        open_to_append(folder.lock)


def test_a_file_that_is_too_large_is_not_read(folder: StudyFolder) -> None:
    folder.manifest.write_bytes(b"12345")
    assert read_small(folder.manifest, 5) == b"12345"
    with pytest.raises(InputError, match="larger than 4 bytes"):
        read_small(folder.manifest, 4)


def test_what_is_new_is_private_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        folder = StudyFolder(tmp_path / "deep" / "studies", "s")
        Journal(folder.journal).close()
        with study_lock(folder):
            modes = {path: path.stat().st_mode & 0o777 for path in (folder.journal, folder.lock)}
    finally:
        os.umask(former)
    assert set(modes.values()) == {0o600}
    for made in (folder.path, folder.storage, folder.storage.parent):
        assert made.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_a_group_is_shared_as_the_umask_says(tmp_path: Path) -> None:
    storage = tmp_path / "studies"
    storage.mkdir()
    storage.chmod(0o2770)
    former = os.umask(0o007)
    try:
        make_folder(storage / "s" / "checkpoints")
        with study_lock(StudyFolder(storage, "s")):
            pass
    finally:
        os.umask(former)
    assert (storage / "s" / "checkpoints").stat().st_mode & 0o7777 == 0o2770
    assert (storage / "s" / "driver.lock").stat().st_mode & 0o777 == 0o660
    storage.chmod(0o775)  # as many systems make every folder: no sign that a group is meant
    assert file_mode(storage) == 0o600

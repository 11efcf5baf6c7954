"""Whose decoded images are used, and what happens to damaged ones: none is ever trained on."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainables.config import DataConfig
from trainables.config.canonical import digest
from trainables.data import cache
from trainables.data.cache import CacheEntry, open_sealed_entry, open_training_entry
from trainables.data.cache_folder import CacheWarning, cache_directory, cache_root
from trainables.errors import DataError
from trainables.safe_files import remove_tree

Damage = Callable[[Path], None]


def _rewrite(path: Path, change: Callable[[bytearray], object]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def _zeroed_pixels(folder: Path) -> None:
    images = np.load(folder / "images.npy", mmap_mode="r+")
    images[:] = 0
    images.flush()


def _one_flipped_bit(folder: Path) -> None:
    images = np.load(folder / "images.npy", mmap_mode="r+")
    images[7, 3, 5, 1] ^= 1
    images.flush()


def _one_flipped_bit_in_a_sum(folder: Path) -> None:
    _rewrite(folder / "sums.npy", lambda content: content.__setitem__(-3, content[-3] ^ 1))


def _swapped_labels(folder: Path) -> None:
    labels = np.load(folder / "labels.npy")
    np.save(folder / "labels.npy", labels[::-1].copy())


def _labels_of_another_type(folder: Path) -> None:
    np.save(folder / "labels.npy", np.load(folder / "labels.npy").astype(np.int32))


def _pickled_labels(folder: Path) -> None:
    np.save(folder / "labels.npy", np.load(folder / "labels.npy").astype(object), allow_pickle=True)


def _cut(name: str) -> Damage:
    def cut(folder: Path) -> None:
        _rewrite(folder / name, lambda content: content.__delitem__(slice(len(content) // 2, None)))

    return cut


def _missing(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def _header(old: bytes, new: bytes) -> Damage:
    def change(folder: Path) -> None:
        content = (folder / "images.npy").read_bytes()
        assert old in content[:128]
        assert len(old) == len(new)
        (folder / "images.npy").write_bytes(content[:128].replace(old, new) + content[128:])

    return change


def _edited(**changes: object) -> Damage:
    """The digest of entry.json itself is made to agree."""

    def edit(folder: Path) -> None:
        entry = json.loads((folder / "entry.json").read_bytes())
        del entry["digest"]
        entry.update(changes)
        (folder / "entry.json").write_text(json.dumps({**entry, "digest": digest(entry)}))

    return edit


def _not_an_object(folder: Path) -> None:
    (folder / "entry.json").write_text("[1, 2]")


def _linked_elsewhere(folder: Path) -> None:
    (folder / "images.npy").rename(folder.parent / "elsewhere")
    (folder / "images.npy").symlink_to(folder.parent / "elsewhere")


DAMAGES: dict[str, Damage] = {
    "zeroed pixels": _zeroed_pixels,
    "one flipped bit": _one_flipped_bit,
    "one flipped bit in a sum": _one_flipped_bit_in_a_sum,
    "swapped labels": _swapped_labels,
    "labels of another type": _labels_of_another_type,
    "pickled labels": _pickled_labels,
    **{f"cut {name}": _cut(name) for name in ("images.npy", "labels.npy", "sums.npy", "entry.json")},
    **{f"missing {name}": _missing(name) for name in ("images.npy", "labels.npy", "sums.npy", "entry.json")},
    "another shape": _header(b"(20, 16, 16, 3)", b"(16, 20, 16, 3)"),
    "fewer rows": _header(b"(20, 16, 16, 3)", b"(10, 16, 16, 3)"),
    "another type": _header(b"'|u1'", b"'|i1'"),
    "another order": _header(b"False", b"True "),
    "names edited": _edited(names=[f"train/ants/{number}.jpg" for number in range(20)]),
    "content edited": _edited(content="0" * 64),
    "classes edited": _edited(classes=["bees", "ants"]),
    "name of another entry": _edited(name="another"),
    "no object": _not_an_object,
    "linked elsewhere": _linked_elsewhere,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("named", [False, True], ids=["by files", "by name"])
def test_a_damaged_entry_is_decoded_anew(two_classes: DataConfig, damage: Damage, named: bool) -> None:
    first = open_training_entry(two_classes)
    pixels, labels, sums = first.images.copy(), first.labels.copy(), first.sums.copy()
    damage(first.folder)
    with pytest.warns(CacheWarning, match=rf"{first.folder.name} are damaged .*; rebuilding them") as warned:
        second = open_training_entry(two_classes, name=first.folder.name if named else "")
    assert len(warned) == 1
    assert second.content == first.content
    assert np.array_equal(second.images, pixels)
    assert np.array_equal(second.labels, labels)
    assert np.array_equal(second.sums, sums)
    assert second.names == first.names
    assert open_training_entry(two_classes).content == first.content


def test_damaged_images_whose_files_are_gone(two_classes: DataConfig) -> None:
    entry = open_training_entry(two_classes)
    _zeroed_pixels(entry.folder)
    assert two_classes.root is not None
    remove_tree(two_classes.root, two_classes.root.parent)
    with pytest.warns(CacheWarning), pytest.raises(DataError, match="photos"):
        open_training_entry(two_classes, name=entry.folder.name)


def test_sealed_images_are_checked_too(two_classes: DataConfig) -> None:
    first = open_sealed_entry(two_classes)
    pixels = first.images.copy()
    _zeroed_pixels(first.folder)
    with pytest.warns(CacheWarning):
        assert np.array_equal(open_sealed_entry(two_classes).images, pixels)


def test_an_entry_is_checked_once_a_process(two_classes: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[CacheEntry] = []
    original = cache._check
    monkeypatch.setattr(cache, "_check", lambda entry, *rest: checks.append(entry) or original(entry, *rest))
    for _ in range(3):
        entry = open_training_entry(two_classes)
    assert len(checks) == 1
    os.utime(entry.folder / "images.npy")
    open_training_entry(two_classes)
    assert len(checks) == 2


def test_folders_and_files_are_private(two_classes: DataConfig) -> None:
    folder = open_training_entry(two_classes).folder
    for path in (cache_root(two_classes), *cache_root(two_classes).rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert folder.is_relative_to(cache_root(two_classes) / f"u{os.geteuid()}" / "training")


def _anothers_link(place: Path) -> None:
    (place.parent / "real").mkdir()
    place.symlink_to(place.parent / "real")


def _open_to_others(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


@pytest.mark.parametrize("in_the_way", [_anothers_link, _open_to_others, Path.touch])
def test_what_stands_in_the_place_of_the_own_folder_is_passed_over(
    two_classes: DataConfig, in_the_way: Callable[[Path], None]
) -> None:
    root = cache_root(two_classes)
    root.mkdir()
    in_the_way(root / f"u{os.geteuid()}")
    folder = cache_directory(two_classes)
    assert folder.name.startswith(f"u{os.geteuid()}-")
    assert cache_directory(two_classes) == folder
    assert open_training_entry(two_classes).folder.is_relative_to(folder)


_OPEN_AS = """
import mmap, multiprocessing, os, sys  # before the step down, after which Python's own folder may be out of reach
from trainables.config import DataConfig
from trainables.data.cache import open_training_entry
from trainables.errors import DataError
config, user = DataConfig.model_validate_json(sys.argv[1]), int(sys.argv[2])
os.setgroups([]); os.setgid(user); os.setuid(user)
try:
    entry = open_training_entry(config)
    print(len(entry.names), entry.folder)
except DataError as error:
    print(error)
"""

ALICE, BOB = 65533, 65534


def _open_as(user: int, config: DataConfig) -> str:
    command = [sys.executable, "-c", _OPEN_AS, config.model_dump_json(), str(user)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def shared_cache(two_classes: DataConfig, tmp_path: Path) -> Path:
    """A folder as /tmp is, which other users reach; pytest makes its own private."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder not in (Path("/"), Path("/tmp")):
            folder.chmod(folder.stat().st_mode | 0o055)
    root = cache_root(two_classes)
    root.mkdir()
    root.chmod(0o1777)
    return root


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")


@pytest.mark.root
@needs_root
def test_two_users_of_one_cache_do_not_see_each_other(two_classes: DataConfig, shared_cache: Path) -> None:
    for user in (ALICE, BOB):
        assert _open_as(user, two_classes).startswith(f"20 {shared_cache}/u{user}/training/")
    alices = shared_cache / f"u{ALICE}"
    assert alices.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_uid for path in alices.rglob("*")} == {ALICE}


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_another_user_in_the_own_place_blocks_nobody(two_classes: DataConfig, shared_cache: Path, mode: int) -> None:
    """Bob's doctored entry, his half-built one and his locks are where Alice's folder should be."""
    _open_as(BOB, two_classes)
    bobs = shared_cache / f"u{BOB}"
    (entry,) = (path for path in (bobs / "training").iterdir() if path.is_dir())
    _zeroed_pixels(entry)
    (bobs / "training" / "another.building").mkdir()
    bobs.rename(shared_cache / f"u{ALICE}")
    (shared_cache / f"u{ALICE}").chmod(mode)
    answer = _open_as(ALICE, two_classes)
    assert answer.startswith(f"20 {shared_cache}/u{ALICE}-")
    images = np.load(next((shared_cache).glob(f"u{ALICE}-*/training/*/images.npy")), allow_pickle=False)
    assert images.any()
    assert _open_as(ALICE, two_classes) == answer


@pytest.mark.root
@needs_root
def test_a_file_of_another_user_in_the_own_folder_is_not_used(two_classes: DataConfig) -> None:
    entry = open_training_entry(two_classes)
    os.chown(entry.folder / "labels.npy", BOB, BOB)
    with pytest.warns(CacheWarning, match="not a regular file owned by the current user"):
        open_training_entry(two_classes)


@pytest.mark.root
@needs_root
def test_a_read_only_cache_serves_what_it_has_and_refuses_the_rest(two_classes: DataConfig, shared_cache: Path) -> None:
    first = _open_as(BOB, two_classes)
    category = shared_cache / f"u{BOB}" / "training"
    for folder in (shared_cache, category.parent, category):
        folder.chmod(0o555)
    assert _open_as(BOB, two_classes) == first
    refused = _open_as(BOB, two_classes.model_copy(update={"image_size": 20}))
    assert f"cannot be written to {category} (Permission denied)" in refused
    assert "$TUNE_CACHE_DIR" in refused
    refused = _open_as(ALICE, two_classes)
    assert f"cannot be written to {shared_cache} (Permission denied)" in refused

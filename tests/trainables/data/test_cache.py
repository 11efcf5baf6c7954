import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.config import DataConfig
from trainables.data import cache
from trainables.data.cache import open_sealed_entry, open_training_entry
from trainables.data.cache_folder import cache_directory, cache_root
from trainables.data.dataset_split import DecodedBatch, FilePart
from trainables.data.decoding import decode_file
from trainables.data.folders import training_files
from trainables.data.sources import image_format
from trainables.errors import DataError


def entries(config: DataConfig, category: str = "training") -> list[Path]:
    """Everything on a category but lock files, finished or not."""
    return sorted(path for path in (cache_directory(config) / category).glob("*") if path.suffix != ".lock")


def photos(config: DataConfig) -> Path:
    assert config.root is not None
    return config.root


def test_entry_holds_what_the_files_hold(two_classes: DataConfig) -> None:
    entry = open_training_entry(two_classes)
    assert entry.images.shape == (20, 16, 16, 3)
    assert entry.classes == ("ants", "bees")
    for row, name in enumerate(entry.names):
        assert np.array_equal(entry.images[row], decode_file(photos(two_classes) / name, image_format(two_classes)))
        assert entry.classes[entry.labels[row]] == name.split("/")[1]
    pixels = entry.images.astype(float)
    assert np.allclose(entry.sums[:, 0], pixels.sum(axis=(1, 2)))
    assert np.allclose(entry.sums[:, 1], (pixels**2).sum(axis=(1, 2)))


def test_names_of_any_bytes(two_classes: DataConfig) -> None:
    """Names from another system are often in another encoding."""
    folder = os.fsencode(photos(two_classes) / "train/ants")
    try:
        os.rename(folder + b"/000.jpg", folder + b"/caf\xe9 1.jpg")
    except OSError:
        pytest.skip("this file system knows UTF-8 alone")
    names = open_training_entry(two_classes).names + open_sealed_entry(two_classes).names
    assert os.fsdecode(b"train/ants/caf\xe9 1.jpg") in names


def test_images_are_decoded_once(two_classes: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int, int]] = []
    first = open_training_entry(two_classes, lambda *call: calls.append(call))
    assert calls[-1] == ("decoding images", 20, 20)
    monkeypatch.setattr(FilePart, "blocks", None)
    second = open_training_entry(two_classes, lambda *call: calls.append(call))
    assert len(calls) == 1
    assert second.content == first.content
    assert np.array_equal(second.images, first.images)


def test_images_are_mapped_not_read(two_classes: DataConfig) -> None:
    entry = open_training_entry(two_classes)
    assert isinstance(entry.images, np.memmap)
    before = entry.images[0, 0, 0, 0]
    entry.images[0, 0, 0, 0] = before + 1  # a stray write stays in this process
    assert open_training_entry(two_classes).images[0, 0, 0, 0] == before


def test_sealed_images_are_on_another_shelf_and_in_no_training_entry(two_classes: DataConfig) -> None:
    training = open_training_entry(two_classes)
    assert entries(two_classes, "sealed") == []
    sealed = open_sealed_entry(two_classes)
    assert len(sealed.names) == 5
    assert not set(sealed.names) & set(training.names)
    assert sealed.folder.parent != training.folder.parent


@pytest.mark.parametrize("change", [{"image_size": 12}, {"channels": 1}, {"resize": "stretch"}])
def test_another_format_is_another_entry(two_classes: DataConfig, change: dict[str, Any]) -> None:
    first = open_training_entry(two_classes)
    second = open_training_entry(two_classes.model_copy(update=change))
    assert first.folder != second.folder
    assert first.content != second.content


def test_settings_that_leave_pixels_alone_share_the_entry(two_classes: DataConfig) -> None:
    first = open_training_entry(two_classes)
    update = {"validation_fraction": 0.4, "train_fraction": 0.5, "normalization": "none"}
    assert open_training_entry(two_classes.model_copy(update=update)).folder == first.folder


def test_changed_added_and_removed_files_are_noticed(two_classes: DataConfig, save_photo) -> None:
    contents = {open_training_entry(two_classes).content}
    name = training_files(two_classes).files[3].name
    save_photo(photos(two_classes) / name, seed=77)
    contents.add(open_training_entry(two_classes).content)
    (photos(two_classes) / name).unlink()
    contents.add(open_training_entry(two_classes).content)
    save_photo(photos(two_classes) / "train/ants/new.jpg", seed=78)
    contents.add(open_training_entry(two_classes).content)
    assert len(contents) == 4


def test_content_is_the_same_for_a_copy_made_later(two_classes: DataConfig, tmp_path: Path) -> None:
    first = open_training_entry(two_classes)
    copy = tmp_path / "copy"
    shutil.copytree(photos(two_classes), copy)
    for file in copy.rglob("*.jpg"):
        os.utime(file, ns=(1, 1))
    second = open_training_entry(two_classes.model_copy(update={"root": copy}))
    assert second.folder != first.folder
    assert second.content == first.content


def test_unreadable_files_are_left_out_and_named(two_classes: DataConfig) -> None:
    names = [file.name for file in training_files(two_classes).files]
    (photos(two_classes) / names[2]).write_text("no picture")
    (photos(two_classes) / names[7]).write_bytes(b"")
    entry = open_training_entry(two_classes)
    assert [file.path for file in entry.unreadable] == [names[2], names[7]]
    assert list(entry.names) == [name for name in names if name not in (names[2], names[7])]
    assert len(entry.images) == len(entry.labels) == len(entry.sums) == 18
    assert np.array_equal(entry.images[-1], decode_file(photos(two_classes) / names[-1], image_format(two_classes)))
    assert open_training_entry(two_classes).unreadable == entry.unreadable


def test_a_file_that_vanishes_between_scan_and_read(two_classes: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    part = training_files(two_classes)
    (photos(two_classes) / part.files[4].name).unlink()
    monkeypatch.setattr(cache, "open_training_part", lambda config: part)
    entry = open_training_entry(two_classes)
    assert [file.path for file in entry.unreadable] == [part.files[4].name]
    assert "vanished" in entry.unreadable[0].reason


def _fail_after_first_block(error: BaseException) -> Any:
    original = FilePart.blocks

    def blocks(self: FilePart, image_format: Any) -> Iterator[DecodedBatch]:
        yield next(original(self, image_format))
        raise error

    return blocks


@pytest.mark.parametrize(
    ("failure", "raised", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DataError, r"no space left .*\$TUNE_CACHE_DIR"),
        (OSError(errno.EDQUOT, "Quota exceeded"), DataError, "no space left"),
        (OSError(errno.EIO, "Input/output error"), DataError, "cannot be written to .*Input/output error"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_a_build_that_fails_leaves_nothing(
    two_classes: DataConfig,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    raised: type[BaseException],
    message: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FilePart, "blocks", _fail_after_first_block(failure))
        with pytest.raises(raised, match=message):
            open_training_entry(two_classes)
    assert entries(two_classes) == []
    assert len(open_training_entry(two_classes).names) == 20


def test_too_little_space_is_said_before_decoding(two_classes: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(DataError, match=r"no space left .* GB are needed .*\$TUNE_CACHE_DIR"):
        open_training_entry(two_classes)
    assert entries(two_classes) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("may not mount a small disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(two_classes: DataConfig, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = two_classes.model_copy(update={"cache_dir": tiny_disk, "image_size": 64})
    monkeypatch.setattr(cache, "_check_space", lambda folder, needed: None)
    with pytest.raises(DataError, match=r"no space left .*\$TUNE_CACHE_DIR"):
        open_training_entry(config)
    assert entries(config) == []


def test_a_cache_folder_that_cannot_be_made(two_classes: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = two_classes.model_copy(update={"cache_dir": tmp_path / "file"})
    with pytest.raises(DataError, match=r"cannot be written to .*set \$TUNE_CACHE_DIR or data.cache_dir"):
        open_training_entry(config)


def test_the_environment_names_the_folder(
    two_classes: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert cache_root(two_classes) == two_classes.cache_dir
    config = two_classes.model_copy(update={"cache_dir": None})
    assert open_training_entry(config).folder.is_relative_to(tmp_path / "elsewhere")
    monkeypatch.delenv("TUNE_CACHE_DIR")
    assert cache_root(config) == Path.home() / ".cache/tune-cli"


def _open_and_tell(config: DataConfig, go: Any, results: Any) -> None:
    go.wait()
    decoded: list[int] = []
    entry = open_training_entry(config, lambda what, done, total: decoded.append(done))
    results.put((entry.content, bool(decoded)))


def test_two_processes_at_once_decode_once(two_classes: DataConfig) -> None:
    context = multiprocessing.get_context("fork")
    go, results = context.Event(), context.Queue()
    processes = [context.Process(target=_open_and_tell, args=(two_classes, go, results)) for _ in range(3)]
    for process in processes:
        process.start()
    go.set()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len({content for content, _ in answers}) == 1
    assert sorted(decoded for _, decoded in answers) == [False, False, True]
    assert len(entries(two_classes)) == 1


_BUILD_SLOWLY = """
import sys, time
from trainables.config import DataConfig
from trainables.data.cache import open_training_entry
def linger(what, done, total):
    print("building", flush=True)
    time.sleep(600)
open_training_entry(DataConfig.model_validate_json(sys.argv[1]), linger)
"""


@pytest.mark.parametrize("later", [{}, {"image_size": 12}], ids=["the same", "another"])
def test_a_killed_build_leaves_nothing_half_valid(two_classes: DataConfig, later: dict[str, Any]) -> None:
    command = [sys.executable, "-c", _BUILD_SLOWLY, two_classes.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        process.kill()
    assert [path.suffix for path in entries(two_classes)] == [".building"]
    entry = open_training_entry(two_classes.model_copy(update=later))  # any later build cleans up
    assert entries(two_classes) == [entry.folder]
    assert len(entry.names) == 20


def test_a_build_that_goes_on_is_not_swept_away(two_classes: DataConfig) -> None:
    command = [sys.executable, "-c", _BUILD_SLOWLY, two_classes.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        open_training_entry(two_classes.model_copy(update={"image_size": 12}))
        assert sum(path.suffix == ".building" for path in entries(two_classes)) == 1
        process.kill()


def test_opening_again_is_quick(two_classes: DataConfig) -> None:
    open_training_entry(two_classes)
    began = time.perf_counter()
    open_training_entry(two_classes)
    assert time.perf_counter() - began < 1.0


_SHARE_PAGES = """
import re, sys
from trainables.config import DataConfig
from trainables.data.cache import open_training_entry
images = open_training_entry(DataConfig.model_validate_json(sys.argv[1])).images
images.sum()
print("touched", flush=True)
sys.stdin.readline()
mapping = open("/proc/self/smaps").read().split("images.npy")[1]
print(*(re.search(name + r": +([0-9]+) kB", mapping).group(1) for name in ("Rss", "Pss")), flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads the memory map in /proc")
def test_processes_share_the_pages_of_images(two_classes: DataConfig) -> None:
    config = two_classes.model_copy(update={"image_size": 224})
    size_kb = open_training_entry(config).images.nbytes / 1024
    command = [sys.executable, "-c", _SHARE_PAGES, config.model_dump_json()]
    readers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(4)
    ]
    try:
        streams = [(reader.stdin, reader.stdout) for reader in readers]
        assert all(stdout and stdout.readline() == "touched\n" for _, stdout in streams)
        for stdin, stdout in streams:
            assert stdin
            assert stdout
            stdin.write("tell\n")
            resident, proportional = (int(value) for value in stdout.readline().split())
            assert resident >= 0.9 * size_kb, "every reader has all images at hand ..."
            assert proportional <= 0.3 * size_kb, "... and accounts for a quarter of them"
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()

import os
import re
from pathlib import Path

import numpy as np
from PIL import Image

_STUDY = """\
name: small
data: {dataset: digits}
space:
  model.filters: {choices: [8, 16]}
"""


def test_info_shows_how_many_images_of_each_class_are_in_each_split(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY)
    finished = run_cli("data", "info", "study.yaml")
    assert finished.code == 0, finished.err
    assert "8 x 8 pixels, 1 channel\n" in finished.out
    header = re.search(r"class +train (\d+) +validation (\d+) +test (\d+)", finished.out)
    assert header is not None
    assert re.search(r"on disk +0\.[1-9] MB of decoded images", finished.out)
    assert "unreadable   none\n" in finished.out
    assert sum(map(int, header.groups())) == 1797
    rows = [list(map(int, line.split()[1:])) for line in finished.out.splitlines()[-10:]]
    assert [sum(column) for column in zip(*rows, strict=True)] == list(map(int, header.groups()))


def test_info_names_what_is_unreadable_or_in_two_splits(tmp_path: Path, run_cli) -> None:
    draw = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in ("ants", "bees"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                coarse = Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8))
                coarse.resize((40, 40)).save(folder / f"{number}.png")
    (tmp_path / "images/test/bees/3.png").write_bytes((tmp_path / "images/train/ants/2.png").read_bytes())
    (tmp_path / "images/train/ants/0.png").write_text("no picture")
    data = "{dataset: image_folder, root: images, image_size: 32, max_unreadable: 0.2}"
    (tmp_path / "study.yaml").write_text(_STUDY.replace("{dataset: digits}", data))
    finished = run_cli("data", "info", "study.yaml")
    assert finished.code == 0, finished.err
    assert "unreadable   1\n             train/ants/0.png: not an image of a known format\n" in finished.out
    assert "alike        1\n             train train/ants/2.png, test test/bees/3.png\n" in finished.out
    assert re.search(r"class +train 7 +validation 8 +test 8\nants +3 +4 +4\nbees +4 +4 +4\n", finished.out)


def test_names_that_speak_to_the_terminal_are_shown(tmp_path: Path, run_cli) -> None:
    draw = np.random.default_rng(0)
    for name in (b"\x1b[31mred", "a\u202eb\nc".encode(), b"caf\xe9"):
        folder = os.fsencode(tmp_path / "images" / "train") + b"/" + name
        os.makedirs(folder)
        for number in range(12):
            with open(folder + (b"/\xff.png" if number == 0 else b"/%d.png" % number), "wb") as file:
                Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "png")
        with open(folder + b"/\x1b]0;title\x07.png", "wb") as file:
            file.write(b"no picture")
    data = "{dataset: image_folder, root: images, image_size: 8, max_unreadable: 0.5}"
    (tmp_path / "study.yaml").write_text(_STUDY.replace("{dataset: digits}", data))
    finished = run_cli("data", "info", "study.yaml")
    assert finished.code == 0, finished.err
    assert set(finished.out + finished.err) <= set(map(chr, range(32, 127))) | {"\n"}
    said = "train/\\x1b[31mred/\\x1b]0;title\\x07.png: not an image of a known format"
    assert f"warning: left out {said}\n" in finished.err
    assert f"             {said}\n" in finished.out
    for name in ("\\x1b[31mred", "a\\u202eb\\nc", "caf\\udce9"):
        assert re.search(rf"^{re.escape(name)} +\d+ +\d+ +\d+$", finished.out, re.MULTILINE)


def test_keys_and_arguments_that_speak_to_the_terminal_are_shown(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY + '"\\e]0;title\\a": 1\n')
    finished = run_cli("plan", "study.yaml")
    assert finished.code == 2
    assert "\\x1b]0;title\\x07" in finished.err
    named = run_cli("plan", "\x1b[31m.yaml")
    assert named.code == 2
    assert "the argument '\\x1b[31m.yaml' holds control characters" in named.err
    for said in (finished, named):
        assert not set(said.out + said.err) & {"\x1b", "\x07", "\u202e"}


def test_prepare_says_what_is_ready(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY)
    finished = run_cli("data", "prepare", "study.yaml", "--set", "data.image_size=16")
    assert finished.code == 0, finished.err
    assert "10 classes are ready" in finished.out
    assert "reading images" in finished.err

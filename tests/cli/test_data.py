import re
from pathlib import Path

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
    assert sum(map(int, header.groups())) == 1797
    rows = [list(map(int, line.split()[1:])) for line in finished.out.splitlines()[-10:]]
    assert [sum(column) for column in zip(*rows, strict=True)] == list(map(int, header.groups()))


def test_prepare_says_what_is_ready(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY)
    finished = run_cli("data", "prepare", "study.yaml", "--set", "data.image_size=16")
    assert finished.code == 0, finished.err
    assert "10 classes are ready" in finished.out
    assert "reading images" in finished.err

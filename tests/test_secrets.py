"""A secret in the environment stays there: what the program writes and says has the reference to it."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.workplace import Workplace

_SECRET = "hunter2-and-more"
_STUDY = """
name: small
data: {dataset: image_folder, root: "photos/${SHARE_TOKEN}", image_size: 8, cache_dir: "${CACHE_SECRET}"}
model: {name: softmax_regression}
training: {max_epochs: 2, checkpoint_seconds: 0}
search: {trials: 2, searcher: random}
space:
  optimizer.learning_rate: {low: 1e-3, high: 1e-1, log: true}
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    draw = np.random.default_rng(0)
    for name in ("ants", "bees"):
        folder = tmp_path / "photos" / _SECRET / "train" / name
        folder.mkdir(parents=True)
        for number in range(20):
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    work = Workplace(tmp_path)
    (tmp_path / "small.yaml").write_text(_STUDY)
    monkeypatch.setenv("SHARE_TOKEN", _SECRET)
    monkeypatch.setenv("CACHE_SECRET", str(tmp_path / f"cache-{_SECRET}"))
    return work


def _ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    output, errors = process.communicate(timeout=240)
    return process.returncode, output + errors


@pytest.mark.slow
def test_no_file_and_no_message_has_it(work: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for command in (
        ["run", "small.yaml"],
        ["resume", "small", "--trials", "+1"],
        ["test", "small"],
        ["results", "small"],
    ):
        code, said = _ended(work.start(*command))
        assert code == 0, said
        assert _SECRET not in said
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "cache-" not in str(path)]
    assert {"driver.log", "journal.jsonl", "mlflow.db", "splits.json", "study.yaml"} <= {path.name for path in written}
    assert not [path for path in written if _SECRET.encode() in path.read_bytes()]
    assert work.record().config.data.root == tmp_path / "photos" / "${SHARE_TOKEN}"
    code, said = _ended(work.start("run", "small.yaml", "--resume", "auto", "--trials", "4"))
    assert code == 0, said  # nothing has changed but the number of trials
    monkeypatch.delenv("SHARE_TOKEN")
    code, said = _ended(work.start("resume", "small", "--trials", "+1"))
    assert code == 2
    assert "needs the environment variable SHARE_TOKEN" in said


def test_an_error_names_the_reference(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARE_TOKEN", f"{_SECRET}/nowhere")
    code, said = _ended(work.start("data", "prepare", "small.yaml"))
    assert code == 2
    assert "data.root photos/${SHARE_TOKEN} is not a folder" in said
    assert _SECRET not in said
    overridden = ("--set", "data.root=${SHARE_TOKEN}/../../photos")
    code, said = _ended(work.start("data", "prepare", "small.yaml", *overridden))
    assert code == 2
    assert _SECRET not in said


@pytest.mark.slow
@pytest.mark.parametrize("option", [True, False])
def test_a_password_in_mlflows_address_is_not_said(
    work: Workplace, monkeypatch: pytest.MonkeyPatch, option: bool
) -> None:
    address = f"http://me:{_SECRET}@127.0.0.1:9/"
    arguments = ["--tracking-uri", address] if option else []
    if not option:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    code, said = _ended(work.start("run", "small.yaml", *arguments))
    assert code == 2
    assert "me:***@127.0.0.1:9" in said
    assert _SECRET not in said

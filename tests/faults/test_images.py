"""Images that disappear in mid-study: trials go on with what was decoded, and never train on others."""

from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.faults.disturbed import Disturbed

STUDY = """
name: small
data: {dataset: image_folder, root: images, image_size: 8, cache_dir: cache}
model: {name: cnn, blocks: 2, filters: 8, dense_units: 16}
training: {max_epochs: 12, checkpoint_seconds: 0}
resources: {max_concurrent: 1}
search: {searcher: random, scheduler: none, trials: 3}
space:
  optimizer.learning_rate: {low: 1e-3, high: 1e-2, log: true}
"""


def _write_images(folder: Path) -> None:
    digits = load_digits()
    for row in range(600):
        place = folder / "train" / str(digits.target[row])
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[row] * 15.9).astype("uint8")
        Image.fromarray(pixels).save(place / f"{row:04d}.png")


@pytest.mark.slow
def test_file_deleted_in_mid_study_and_then_the_decoded_images_too(workplace: Disturbed) -> None:
    _write_images(workplace.folder / "images")
    (workplace.folder / "small.yaml").write_text(STUDY)
    process = workplace.start("run", "small.yaml")
    workplace.wait_for("epoch_ended", 2, process)
    victim = next((workplace.folder / "images" / "train" / "3").iterdir())
    former = victim.read_bytes()
    victim.unlink()
    workplace.kill_worker(process)  # the next worker opens the data anew
    workplace.wait_for("trial_finished", 1, process)
    assert workplace.record().trials[0].state == "completed"

    for entry in (workplace.folder / "cache").glob("u*/training/*"):
        entry.rename(workplace.folder / entry.name)  # somebody empties the cache
    workplace.kill_worker(process)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    trials = workplace.record().trials
    failed = [trial for trial in trials if trial.state == "failed"]
    assert failed
    assert {trial.number for trial in failed} < {1, 2, 3}
    reasons = {trial.reason for trial in failed}
    assert all("images have changed since the study began: then" in reason for reason in reasons), reasons

    process = workplace.start("resume", "small", "--trials", "+1")
    errors = process.communicate(timeout=240)[1]
    assert process.returncode == 2
    assert "the images of study 'small' have changed since it began" in errors
    victim.write_bytes(former)
    workplace.run("resume", "small", "--trials", "+1")
    assert workplace.record().trials[3].state == "completed"

"""A worker trains only what a driver with the same code and libraries hands out."""

import hashlib
import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainables
from trainables import trainable
from trainables.config import DataConfig, TrialConfig
from trainables.config.canonical import digest
from trainables.data.cache import open_training_entry
from trainables.data.training_data import open_training_data
from trainables.software import Software, WorkerReport, _code, own_report, own_software
from trainables.trainable import Job, TrialTrainable

OWN = Software("c0de" * 16, {"python": "3.11.7", "torch": "2.11.0"})


def test_own_software_names_what_decides_the_numbers() -> None:
    found = own_software()
    assert {"python", "torch", "torchvision", "kornia", "numpy", "pillow", "ray"} == found.versions.keys()
    assert found.code == _code(Path(trainables.__file__).parent)
    report = own_report("token")
    assert WorkerReport.from_json(report.to_json()) == report


@pytest.mark.parametrize("change", ["edited", "added", "removed", "renamed"])
def test_any_change_of_the_source_changes_the_code(tmp_path: Path, change: str) -> None:
    shutil.copytree(Path(trainables.__file__).parent, tmp_path / "trainables", ignore=shutil.ignore_patterns("*.pyc"))
    loop = tmp_path / "trainables" / "training" / "loop.py"
    before = _code(tmp_path / "trainables")
    assert before == own_software().code
    match change:
        case "edited":
            loop.write_text(loop.read_text() + "\n")
        case "added":
            loop.with_name("more.py").write_text("")
        case "removed":
            loop.unlink()
        case "renamed":
            loop.rename(loop.with_name("loops.py"))
    assert _code(tmp_path / "trainables") != before


def test_differences_are_named_with_both_values() -> None:
    assert OWN.differences(OWN) == ""
    other = Software("bad0" * 16, {"python": "3.11.7", "torch": "2.12.0", "ray": "2.60.0"})
    assert OWN.differences(other) == (
        "the code of trainables is bad0bad0bad0, not c0dec0dec0de; ray is 2.60.0, not missing; "
        "torch is 2.12.0, not 2.11.0"
    )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    data = DataConfig(dataset="digits", cache_dir=tmp_path / "cache")
    opened = open_training_data(data)
    config = TrialConfig.model_validate(
        {"data": data, "model": {"name": "softmax_regression"}, "training": {"max_epochs": 1}}
    )
    return Job(
        number=0,
        config=config.model_dump(mode="json"),
        folder=str(tmp_path / "trial"),
        metric="val_accuracy",
        cpus=1,
        memory=None,
        images=len(opened.names),
        data_fingerprint=opened.fingerprint,
        cache_entry=opened.cache_entry,
        study="a" * 32,
        software=asdict(own_software()),
    )


def _worker(job: Job) -> TrialTrainable:
    worker = TrialTrainable.__new__(TrialTrainable)
    worker.setup({"job": job.to_json()})
    return worker


def test_the_same_software_trains_and_says_what_it_is(job: Job) -> None:
    result = _worker(job).step()
    assert result["completed"]
    assert WorkerReport.from_json(result["worker"]) == own_report("a" * 32)


@pytest.mark.parametrize(
    ("software", "reason"),
    [
        (replace(own_software(), code="0" * 64), "the code of trainables is .*, not 000000000000"),
        (replace(own_software(), versions={**own_software().versions, "torch": "1.0"}), r"torch is \S+, not 1\.0"),
    ],
    ids=["code", "torch"],
)
def test_other_software_is_refused_before_anything_is_trained(
    job: Job, software: Software, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainable, "train", None)
    monkeypatch.setattr(trainable, "_REFUSED_SECONDS", 0.0)
    worker = _worker(replace(job, software=asdict(software), config={"of another": "version"}))
    for _ in range(2):  # it answers until it is stopped, and its trial is never done
        result: dict[str, Any] = worker.step()
        assert result["outcome"] == "refused"
        assert not result["done"]
        assert re.search(reason, result["reason"])
    assert not Path(job.folder).exists()


def test_a_job_of_another_study_is_refused(job: Job) -> None:
    worker = _worker(job)
    worker.reset_config({"job": replace(job, study="b" * 32).to_json()})
    result = worker.step()
    assert (result["outcome"], result["reason"]) == (
        "refused",
        "it works for study aaaaaaaa, but the job belongs to study bbbbbbbb",
    )
    worker.reset_config({"job": job.to_json()})
    assert worker.step()["completed"]


def test_an_entry_whose_every_digest_was_made_to_agree_is_not_trained_on(job: Job) -> None:
    """The fingerprint that the driver sends is of the pixels themselves."""
    config = TrialConfig.model_validate(job.config)
    entry = open_training_entry(config.data)
    images = np.load(entry.folder / "images.npy", mmap_mode="r+")
    images[:] = 0
    images.flush()
    text = json.loads((entry.folder / "entry.json").read_bytes())
    del text["digest"]
    pixels = hashlib.sha256(bytes(images.nbytes)).hexdigest()
    text["content"] = digest([pixels, [text["names"], entry.labels.tolist(), text["classes"], text["format"]]])
    (entry.folder / "entry.json").write_text(json.dumps({**text, "digest": digest(text)}))
    open_training_data.cache_clear()
    result = _worker(job).step()
    assert result["outcome"] == "failed"
    assert "the images in digits have changed since the study began" in result["reason"]


def test_a_damaged_entry_is_decoded_anew_and_the_result_says_so(job: Job) -> None:
    config = TrialConfig.model_validate(job.config)
    entry = open_training_entry(config.data)
    images = np.load(entry.folder / "images.npy", mmap_mode="r+")
    images[:] = 0
    images.flush()
    open_training_data.cache_clear()
    result = _worker(job).step()
    assert result["completed"]
    assert "decoded images" in result["warning"]
    assert "rebuilding them" in result["warning"]

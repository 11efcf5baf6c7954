"""The images of a trial: those of its own configuration, and none that have changed."""

import pytest

from search_spaces.schema import StudyConfig
from trainables.config import DataConfig, TrialConfig
from trainables.data.training_data import TrainingData, prepare_training_data
from trainables.errors import InputError
from tuning.selection.study_data import images_of, require_unchanged
from tuning.storage.observer import Silent
from tuning.storage.record import StudyRecord, TrialRecord


@pytest.fixture(scope="module")
def images() -> TrainingData:
    return prepare_training_data(DataConfig(dataset="digits"))


def _record(fingerprint: str) -> StudyRecord:
    space = {"model.filters": {"choices": [8, 16]}}
    config = StudyConfig.model_validate({"name": "s", "data": {"dataset": "digits"}, "space": space})
    return StudyRecord(config, fingerprint, "finished", "", (0.0,))


def _trial(**data: object) -> TrialRecord:
    config = TrialConfig.model_validate({"data": {"dataset": "digits"} | data})
    return TrialRecord(0, "search", {}, config, "0", {}, "completed", 0.0)


def test_a_trial_on_all_images_gets_the_study_s_own(images: TrainingData) -> None:
    found = images_of(_record(images.fingerprint), _trial(), Silent())
    assert found.fingerprint == images.fingerprint


def test_a_trial_of_a_stage_gets_the_images_it_was_trained_on(images: TrainingData) -> None:
    found = images_of(_record(images.fingerprint), _trial(train_fraction=0.5, image_size=4), Silent())
    assert found.image_shape == (1, 4, 4)
    assert len(found.train_indices) == pytest.approx(len(images.train_indices) / 2, abs=10)


def test_changed_images_are_refused_with_both_fingerprints(images: TrainingData) -> None:
    with pytest.raises(InputError, match=rf"began \(fingerprint {'f' * 12}, now {images.fingerprint[:12]}\)"):
        require_unchanged(_record("f" * 64), images)
    with pytest.raises(InputError, match="have changed"):
        images_of(_record("f" * 64), _trial(train_fraction=0.5), Silent())

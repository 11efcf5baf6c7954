"""The images that a trial was trained on, for whoever uses its model later."""

from trainables.data.training_data import TrainingData, prepare_training_data
from trainables.errors import InputError
from tuning.storage.observer import Observer
from tuning.storage.record import StudyRecord, TrialRecord


def images_of(record: StudyRecord, trial: TrialRecord, observer: Observer) -> TrainingData:
    """What the trial was trained on: in a staged search it may be fewer or smaller images than the study file names.

    Raises:
        InputError: the study's images are no longer those that it began with.
    """
    images = prepare_training_data(record.config.data, observer.progress)
    require_unchanged(record, images)
    if trial.config.data == record.config.data:
        return images
    return prepare_training_data(trial.config.data, observer.progress)


def require_unchanged(record: StudyRecord, images: TrainingData) -> None:
    """Refuse images that are not those that the study began with.

    Raises:
        InputError: with both fingerprints.
    """
    if images.fingerprint != record.data_fingerprint:
        raise InputError(
            f"the images of study {record.config.name!r} have changed since it began (fingerprint "
            f"{record.data_fingerprint[:12]}, now {images.fingerprint[:12]}), so results would not be comparable, and "
            "the test split may hold images that trials were trained on; put the former files back, or start a study "
            "of another name"
        )

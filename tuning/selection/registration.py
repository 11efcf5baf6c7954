"""How a trial becomes champion: its model is rebuilt from its best checkpoint, registered, and written down."""

import numpy as np
import torch

from trainables.config import TrialConfig
from trainables.data.training_data import TrainingData
from trainables.errors import InputError, StudyFailedError
from trainables.models.classifier import Classifier
from trainables.training.checkpoint import load_best
from trainables.training.loop import build_classifier
from tuning.storage.journal import ChampionLogged
from tuning.storage.observer import Observer
from tuning.storage.paths import StudyFolder
from tuning.storage.record import TrialRecord
from tuning.storage.recorder import Recorder
from tuning.tracking.mirror import Mirror
from tuning.tracking.mlflow_store import TrackingError
from tuning.tracking.registry import log_champion

_EXAMPLE_IMAGES = 2


class NotRegisteredError(StudyFailedError):
    """MLflow did not take the champion's model. The trial is champion all the same; `resume` registers it later."""


def load_classifier(folder: StudyFolder, number: int, config: TrialConfig, data: TrainingData) -> Classifier:
    """The classifier of a trial with its best epoch's weights, in evaluation mode, on the CPU.

    Raises:
        InputError: the weights are missing, damaged, or another network's.
    """
    classifier = build_classifier(config, data)
    best = folder.trial_checkpoints(number)
    try:
        classifier.load_state_dict(load_best(best))
    except RuntimeError as error:  # other names or shapes
        raise InputError(
            f"the weights in {best} are not those of trial {number} ({error}); put its files back"
        ) from error
    return classifier.eval()


def register_champion(
    trial: TrialRecord, data: TrainingData, mirror: Mirror, recorder: Recorder, observer: Observer
) -> str:
    """Register the trial's model with the alias `champion` and write `ChampionLogged`, unless both are done.

    Args:
        trial: the champion.
        data: the images it was trained on.
        mirror: of the study; may be running.
        recorder: of the study.
        observer: told that it begins.

    Returns:
        `models:/NAME/VERSION`.

    Raises:
        InputError: as `load_classifier`.
        NotRegisteredError: MLflow did not take it.
    """
    registered = recorder.study().champion_model
    if registered is not None and registered.number == trial.number:
        return registered.model_uri
    observer.phase("registering the champion's model")
    classifier = load_classifier(mirror.folder, trial.number, trial.config, data)
    try:
        model_uri = log_champion(mirror, trial.number, trial.params, classifier, _example(data))
    except TrackingError as error:
        raise NotRegisteredError(
            f"trial {trial.number} is the champion, but its model is not registered yet ({error}); run "
            f"`{mirror.folder.command('resume')}` when MLflow answers"
        ) from error
    recorder.record(ChampionLogged(number=trial.number, model_uri=model_uri))
    return model_uri


def _example(data: TrainingData) -> np.ndarray:
    """A few validation images as float32 in [0, 1], N×C×H×W."""
    indices = data.validation_indices[:_EXAMPLE_IMAGES]
    images: torch.Tensor = data.images[indices].float() / 255.0
    return images.numpy()

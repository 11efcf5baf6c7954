"""The champion's model: rebuilt from its best checkpoint and handed to the registry."""

import numpy as np
import torch

from trainables.config import TrialConfig
from trainables.data.training_data import TrainingData
from trainables.errors import InputError
from trainables.models.classifier import Classifier
from trainables.training.checkpoint import load_best
from trainables.training.loop import build_classifier
from tuning.storage.journal import ChampionLogged
from tuning.storage.paths import StudyFolder
from tuning.storage.record import TrialRecord
from tuning.tracking.registry import log_champion

_EXAMPLE_IMAGES = 2


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


def register_champion(folder: StudyFolder, trial: TrialRecord, data: TrainingData, tracking_uri: str) -> ChampionLogged:
    """Log the trial's model with signature and input example, register it, give it the alias `champion`."""
    classifier = load_classifier(folder, trial.number, trial.config, data)
    example = _example(data)
    uri = log_champion(folder, tracking_uri, trial.number, classifier, example)
    return ChampionLogged(number=trial.number, model_uri=uri)


def _example(data: TrainingData) -> np.ndarray:
    """A few validation images as float32 in [0, 1], N×C×H×W."""
    indices = data.validation_indices[:_EXAMPLE_IMAGES]
    images: torch.Tensor = data.images[indices].float() / 255.0
    return images.numpy()

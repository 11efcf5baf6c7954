"""The champion's model: logged once, registered under the study's name, alias `champion`."""

import copy
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainables.errors import InputError
from tuning.journal import ChampionLogged, TrialProposed, read_events
from tuning.layout import StudyFolder
from tuning.tracking.mirror import Mirror
from tuning.tracking.store import Store, TrackingError, save_model
from tuning.tracking.translation import STUDY_TAG, TRIAL_TAG, flatten
from tuning.tracking_state import masked, read_state

ALIAS = "champion"
_WEIGHTS = "weights.pt"


def log_champion(
    folder: StudyFolder, tracking_uri: str, number: int, module: nn.Module, example: NDArray[np.float32]
) -> str:
    """Log trial `number`'s model under its run, register it under the study's name with the alias `champion`.

    Doing it again, also after a crash halfway, finishes what is missing and adds nothing twice. The caller writes
    `ChampionLogged` to the journal.

    Args:
        folder: the study.
        tracking_uri: address of MLflow.
        number: the trial.
        module: takes images N x C x H x W, float32 in [0, 1], and gives N x classes scores. Left as it is.
        example: a few such images; the first becomes the model's input example.

    Returns:
        `models:/NAME/VERSION`.

    Raises:
        TrackingError: MLflow did not take it.
    """
    for event, _ in read_events(folder.journal):
        if isinstance(event, ChampionLogged):
            logged = event
    Mirror(folder, tracking_uri).bring_up_to_date()

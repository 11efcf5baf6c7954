"""The images of a trial: those of its own configuration, and none that have changed."""

import pytest

from trainables.config import DataConfig
from trainables.data.training_data import TrainingData, prepare_training_data

DATA = {"dataset": "digits"}


@pytest.fixture(scope="module")
def images() -> TrainingData:
    return prepare_training_data(DataConfig.model_validate(DATA))

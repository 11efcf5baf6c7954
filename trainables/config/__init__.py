"""Typed configuration of one trial. Does not import torch, so that study files can be checked quickly."""

from trainables.config.augmentation import AugmentationConfig
from trainables.config.base import Config
from trainables.config.data import DataConfig
from trainables.config.models import ModelConfig
from trainables.config.optimizer import OptimizerConfig
from trainables.config.schedule import ScheduleConfig
from trainables.config.training import TrainingConfig
from trainables.config.trial import TrialConfig, TrialSections

__all__ = [
    "AugmentationConfig",
    "Config",
    "DataConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "TrainingConfig",
    "TrialConfig",
    "TrialSections",
]

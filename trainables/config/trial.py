"""One trial's full configuration and its hash."""

from typing import Any

from trainables.config.augmentation import AugmentationConfig
from trainables.config.base import Config
from trainables.config.canonical import digest
from trainables.config.data import DataConfig
from trainables.config.models import CnnConfig, ModelConfig
from trainables.config.optimizer import AdamWConfig, OptimizerConfig
from trainables.config.schedule import ConstantConfig, ScheduleConfig
from trainables.config.training import TrainingConfig

_NOT_LEARNED = {"data": {"cache_dir", "root", "max_unreadable"}, "training": {"checkpoint_seconds"}}
"""Fields that do not affect what a trial learns."""


class TrialSections(Config):
    """The sections of a trial's configuration; in a study file, they are the base of all trials."""

    data: DataConfig
    model: ModelConfig = CnnConfig()
    optimizer: OptimizerConfig = AdamWConfig()
    schedule: ScheduleConfig = ConstantConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()


class TrialConfig(TrialSections):
    """Everything that decides what one trial learns."""

    def canonical_hash(self, data_fingerprint: str) -> str:
        """SHA-256 hex digest, equal for configurations that train the same thing on the same data.

        Inactive parameters cannot differ because the typed variants do not have them. Numbers are normalized by their
        field's type (`1` and `1.0` are equal in a float field).
        """
        return digest({"trial": self.learned(), "data": data_fingerprint})

    def learned(self) -> dict[str, dict[str, Any]]:
        """By section, every field that decides what is learned, as JSON values."""
        return self.model_dump(mode="json", exclude=_NOT_LEARNED)

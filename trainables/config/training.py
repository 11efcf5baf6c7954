"""How one trial trains."""

from typing import Literal

from pydantic import Field

from trainables.config.base import Config, Fraction, NonNegativeFloat, PositiveFloat, PositiveInt


class TrainingConfig(Config):
    """Epochs, batches, numerics and seed of one trial."""

    max_epochs: PositiveInt = 10
    batch_size: PositiveInt = 64
    seed: int = Field(default=0, ge=0)
    """Initial weights, order of batches, dropout and augmentation."""
    label_smoothing: Fraction = 0.0
    gradient_clip: PositiveFloat | None = None
    """Greatest gradient norm; none by default."""
    initialization: Literal["default", "he", "xavier"] = "default"
    """Of the layers that carry no pre-trained weights."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 autocast where the processor or GPU has it, else fp32."""
    compile: bool = False
    """Use `torch.compile`."""
    checkpoint_seconds: NonNegativeFloat = 30.0
    """A checkpoint is written at the end of an epoch when the last one is at least this old."""

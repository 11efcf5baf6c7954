"""How one trial trains."""

from typing import Annotated, Literal

from pydantic import Field

from trainables.config.base import MAX_SECONDS, BatchSize, Config, Epochs, Fraction, PositiveFloat, Seed


class TrainingConfig(Config):
    """Epochs, batches, numerics and seed of one trial."""

    max_epochs: Epochs = 10
    batch_size: BatchSize = 64
    seed: Seed = 0
    """Seeds initial weights, batch order, dropout and augmentation."""
    label_smoothing: Fraction = 0.0
    gradient_clip: PositiveFloat | None = None
    """Maximum gradient norm; no clipping by default."""
    initialization: Literal["default", "he", "xavier"] = "default"
    """Initialization of the layers without pre-trained weights."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 autocast if the CPU or GPU supports it natively, else fp32."""
    compile: bool = False
    """Use `torch.compile`."""
    checkpoint_seconds: Annotated[float, Field(ge=0.0, le=MAX_SECONDS)] = 30.0
    """A checkpoint is written at the end of an epoch if the last one is at least this old."""

"""Base class of all configuration classes, and the bounded types of their fields.

Every field has a lower and an upper bound, far beyond what an image classifier on one machine can use. The bounds turn
a typo (`trials: 1e18`) or a malicious file into an error with a line number, and keep later arithmetic from
overflowing. Do not use a bare `int`, `float` or `str` in a configuration.
"""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Config(BaseModel):
    """An immutable, strictly checked piece of configuration."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )


MAX_NUMBER = 1e30
"""Largest magnitude of any number in a configuration. 32-bit floats, the type of tensors, go up to 3.4e38."""

Number = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
PositiveFloat = Annotated[float, Field(gt=0.0, le=MAX_NUMBER)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, le=MAX_NUMBER)]

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A share in [0, 1)."""

MAX_SECONDS = 10 * 366 * 24 * 3600
Seconds = Annotated[float, Field(gt=0.0, le=MAX_SECONDS)]
"""A duration of up to ten years."""

Count = Annotated[int, Field(ge=1, le=1_000_000)]
"""Number of trials, or of anything counted in trials. A million trials take a day even without any training."""

TotalEpochs = Annotated[int, Field(ge=1, le=1_000_000_000_000)]
"""Epochs of all trials together."""

Epochs = Annotated[int, Field(ge=1, le=1_000_000)]
"""Epochs of one trial."""

EpochsOrNone = Annotated[float, Field(ge=0.0, le=1_000_000)]
"""A duration in epochs; 0 for none."""

MAX_SEED = 2**32 - 1
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
"""Range of seeds that numpy's generators accept."""

Pixels = Annotated[int, Field(ge=1, le=8_192)]
"""Side of an image. At 8,192 pixels, an image takes 200 MB in 8 bits and 800 MB as network input."""

BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]

Width = Annotated[int, Field(ge=1, le=65_536)]
"""Units of a dense layer, filters of a convolution."""

MAX_LAYERS = 256
Widths = Annotated[tuple[Width, ...], Field(max_length=MAX_LAYERS)]
"""One width for each layer; may be empty."""

Depth = Annotated[int, Field(ge=1, le=MAX_LAYERS)]
"""A number of layers, blocks or branches, or the position of one, from 1."""

KernelSize = Annotated[int, Field(ge=1, le=1_024)]

Border = Annotated[int, Field(ge=0, le=1_024)]
"""Pixels added around an image or a map."""

MAX_PARAMETERS = 200
"""Maximum parameters of a space, or of a list of parameters; about a hundred fields can vary."""

Name = Annotated[str, Field(max_length=200)]

_LONGEST_PATH, _LONGEST_NAME = 4_095, 255
"""Maximum bytes that Linux and macOS allow for a path, and for one name in it; system calls fail beyond that."""


def _within_limits(path: Path) -> Path:
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError(f"{str(path)[:80]!r} contains a null character, which no path can")
    if len(encoded) > _LONGEST_PATH or any(len(name) > _LONGEST_NAME for name in encoded.split(b"/")):
        raise ValueError(
            f"is {len(encoded):,} bytes long; a path has at most {_LONGEST_PATH:,}, each name in it {_LONGEST_NAME}"
        )
    return path


LocalPath = Annotated[Path, AfterValidator(_within_limits)]
"""Path of a file or folder, no longer than the operating system allows."""

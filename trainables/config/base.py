"""The base of every configuration class, and the bounded types that their fields are made of.

Every field has a bound on both sides. The bounds lie far beyond what an image classifier on one machine can use; they
are there so that a slip of the hand (`trials: 1e18`) or a file made to hurt is an error with a line number, and so that
no arithmetic further on can overflow. A bare `int`, `float` or `str` has no place in a configuration.
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
"""Largest magnitude of any number of a configuration. Tensors are 32-bit floats, which end at 3.4e38."""

Number = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
PositiveFloat = Annotated[float, Field(gt=0.0, le=MAX_NUMBER)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, le=MAX_NUMBER)]

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A share in [0, 1)."""

MAX_SECONDS = 10 * 366 * 24 * 3600
Seconds = Annotated[float, Field(gt=0.0, le=MAX_SECONDS)]
"""A time of up to ten years."""

Count = Annotated[int, Field(ge=1, le=1_000_000)]
"""Trials, or things counted in trials. A search of a million trials takes a day with nothing trained at all."""

TotalEpochs = Annotated[int, Field(ge=1, le=1_000_000_000_000)]
"""Epochs of all trials together."""

Epochs = Annotated[int, Field(ge=1, le=1_000_000)]
"""Epochs of one trial."""

EpochsOrNone = Annotated[float, Field(ge=0.0, le=1_000_000)]
"""A length of time in epochs; 0 for none."""

MAX_SEED = 2**32 - 1
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
"""What numpy's generators take."""

Pixels = Annotated[int, Field(ge=1, le=8_192)]
"""Side of an image. One of 8,192 pixels is 200 MB in 8 bits, 800 MB as the input of a network."""

BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]

Width = Annotated[int, Field(ge=1, le=65_536)]
"""Units of a dense layer, filters of a convolution."""

MAX_LAYERS = 256
Widths = Annotated[tuple[Width, ...], Field(max_length=MAX_LAYERS)]
"""One width for each layer; may be empty."""

Depth = Annotated[int, Field(ge=1, le=MAX_LAYERS)]
"""A number of layers, blocks or branches, or one of them counted from 1."""

KernelSize = Annotated[int, Field(ge=1, le=1_024)]

Border = Annotated[int, Field(ge=0, le=1_024)]
"""Pixels added around an image or a map."""

MAX_PARAMETERS = 200
"""Of a space, and of whatever lists some of them; there are about a hundred fields that could vary."""

Name = Annotated[str, Field(max_length=200)]

_LONGEST_PATH, _LONGEST_NAME = 4_095, 255
"""Bytes that Linux and macOS take for a path, and for one name in it; more is an error of any call that meets it."""


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
"""A file or folder, of a length that the operating system takes."""

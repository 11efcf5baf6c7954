"""Augmentation of training images; each image of a batch draws its own transformation."""

from typing import Literal

from pydantic import Field

from trainables.config.base import Border, Config, NonNegativeFloat


class AugmentationConfig(Config):
    """All off by default. The `policy` is applied first, then the single parameters in the order listed here, except
    that rotation follows the crops."""

    policy: Literal["none", "light", "standard", "trivial_augment"] = "none"
    """`light`: horizontal flip 0.5, crop_padding of an eighth of the side. `standard`: horizontal flip 0.5,
    random_resized_crop 0.65, brightness, contrast and saturation 0.2, random_erasing 0.25. `trivial_augment`: one
    random operation of random strength per image (Mueller and Hutter, 2021)."""
    horizontal_flip: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability."""
    vertical_flip: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability."""
    rotation: float = Field(default=0.0, ge=0.0, le=180.0)
    """Maximum angle in degrees, in either direction; corners are filled by reflection."""
    crop_padding: Border = 0
    """Pixels of reflected border to add before a random crop to the original size."""
    random_resized_crop: float = Field(default=0.0, ge=0.0, lt=1.0)
    """0: off. Else the maximum share of the area to cut away: scale is drawn from [1 - this, 1], aspect from
    [3/4, 4/3]."""
    brightness: NonNegativeFloat = 0.0
    """Factor drawn from [1 - this, 1 + this]; likewise for contrast, saturation and sharpness."""
    contrast: NonNegativeFloat = 0.0
    saturation: NonNegativeFloat = 0.0
    sharpness: NonNegativeFloat = 0.0
    random_erasing: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability of covering one rectangle, 2 to 33 % of the area, with the image's mean color."""
    mixup: NonNegativeFloat = 0.0
    """Alpha of the Beta distribution; 0: off."""
    cutmix: NonNegativeFloat = 0.0
    """Alpha of the Beta distribution; 0: off. With mixup also on, each batch uses one of the two."""

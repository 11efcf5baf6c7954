"""Augmentation of training images; every image of a batch draws its own transformation."""

from typing import Literal

from pydantic import Field

from trainables.config.base import Border, Config, NonNegativeFloat


class AugmentationConfig(Config):
    """All off by default. A `policy` comes first, the single parameters after it, in the order in which they stand here
    but for rotation, which follows the crops."""

    policy: Literal["none", "light", "standard", "trivial_augment"] = "none"
    """`light`: horizontal flip 0.5, crop_padding of an eighth of the side. `standard`: horizontal flip 0.5,
    random_resized_crop 0.65, brightness, contrast and saturation 0.2, random_erasing 0.25. `trivial_augment`: one
    random operation of random strength an image (Mueller and Hutter, 2021)."""
    horizontal_flip: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability."""
    vertical_flip: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability."""
    rotation: float = Field(default=0.0, ge=0.0, le=180.0)
    """Greatest angle in degrees, either way; corners are filled with the reflected image."""
    crop_padding: Border = 0
    """Pixels of reflected border, then a random crop of the original size."""
    random_resized_crop: float = Field(default=0.0, ge=0.0, lt=1.0)
    """0: off. Else the greatest share of the area that may be cut away: scale is drawn from [1 - this, 1], aspect from
    [3/4, 4/3]."""
    brightness: NonNegativeFloat = 0.0
    """Factor drawn from [1 - this, 1 + this]; contrast, saturation and sharpness likewise."""
    contrast: NonNegativeFloat = 0.0
    saturation: NonNegativeFloat = 0.0
    sharpness: NonNegativeFloat = 0.0
    random_erasing: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability of covering one rectangle, 2 to 33 % of the area, with the image's mean colour."""
    mixup: NonNegativeFloat = 0.0
    """Alpha of the Beta distribution; 0: off."""
    cutmix: NonNegativeFloat = 0.0
    """Alpha of the Beta distribution; 0: off. With mixup also on, each batch uses one of the two."""

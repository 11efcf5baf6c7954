"""The images and how they are split."""

from typing import Literal, Self

from pydantic import Field, model_validator

from trainables.config.base import Config, Fraction, LocalPath, Pixels, Seed

DatasetName = Literal["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "image_folder"]


class DataConfig(Config):
    """One data set, resized and split. Two trials with equal `DataConfig` see the same images in the same split."""

    dataset: DatasetName
    """Data set by name; `tune-cli zoo datasets` lists them."""
    root: LocalPath | None = None
    """Folder with the data. `image_folder`: contains `train/CLASS/*` and optionally `val/` and `test/`. torchvision
    sets: contains the files, or receives the download (default `data`). `digits` needs none."""
    image_size: Pixels | None = None
    """Height and width in pixels after decoding. Default: the data set's own (required for `image_folder`)."""
    resize: Literal["crop", "stretch"] = "crop"
    """`crop`: resize the shorter side to `image_size`, then crop the center square. `stretch`: resize both sides,
    ignoring the aspect ratio."""
    channels: Literal[1, 3] | None = None
    """1: grayscale, 3: RGB. Default: the data set's own (3 for `image_folder`)."""
    validation_fraction: Fraction = 0.2
    """Share of the training images held out for validation, stratified. Unused if the folder has `val/`."""
    test_fraction: Fraction = 0.2
    """Share of the images held back for the sealed test, stratified, if the data set has no test part."""
    split_seed: Seed = 0
    """Seed of the splits; independent of the trial's seed."""
    train_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the remaining training images to use, stratified; makes a stage of a staged search cheaper."""
    normalization: Literal["dataset", "imagenet", "none"] = "dataset"
    """Mean and standard deviation per channel: of the training images, ImageNet's (pre-trained weights), or 0 and 1."""
    max_unreadable: Fraction = 0.01
    """Share of files that may be unreadable (left out and reported) before the study refuses to start."""
    cache_dir: LocalPath | None = None
    """Folder for decoded images. Default: `$TUNE_CACHE_DIR`, else `~/.cache/tune-cli`."""

    @model_validator(mode="after")
    def _folder_needs_root_and_size(self) -> Self:
        if self.dataset == "image_folder":
            if self.root is None:
                raise ValueError("image_folder needs data.root, the folder that contains train/CLASS/*")
            if self.image_size is None:
                raise ValueError("image_folder needs data.image_size, for example 224")
        if self.validation_fraction == 0.0 and self.dataset != "image_folder":
            raise ValueError("validation_fraction 0 leaves no images to select models on; give for example 0.2")
        return self

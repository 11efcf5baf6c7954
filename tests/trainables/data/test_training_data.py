import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.config import DataConfig
from trainables.data import training_data
from trainables.data.training_data import open_test_data, open_training_data, prepare_training_data
from trainables.errors import DataError


def taken(values: tuple[str, ...], rows: Tensor) -> set[str]:
    return {values[row] for row in rows.tolist()}


def test_splits_of_a_folder(two_classes: DataConfig) -> None:
    data = prepare_training_data(two_classes)
    sealed = open_test_data(two_classes)
    train, validation = taken(data.names, data.train_indices), taken(data.names, data.validation_indices)
    assert (len(train), len(validation), len(sealed.names)) == (16, 4, 5)
    assert not train & validation
    assert not (train | validation) & set(sealed.names)
    assert data.images.dtype == torch.uint8
    assert data.labels.dtype == data.train_indices.dtype == data.validation_indices.dtype == torch.int64
    assert data.image_shape == (3, 16, 16)


def test_a_given_validation_folder_is_the_validation_split(make_folder) -> None:
    config = make_folder(
        {"train/ants": 4, "train/bees": 4, "val/ants": 2, "val/bees": 3, "test/ants": 1}, validation_fraction=0.0
    )
    data = prepare_training_data(config)
    assert {name.split("/")[0] for name in taken(data.names, data.validation_indices)} == {"val"}
    assert {name.split("/")[0] for name in taken(data.names, data.train_indices)} == {"train"}
    assert (len(data.train_indices), len(data.validation_indices)) == (8, 5)
    assert open_test_data(config).names == ("test/ants/000.jpg",)


def test_no_validation_at_all(make_folder) -> None:
    config = make_folder({"train/ants": 4, "train/bees": 4}, validation_fraction=0.0)
    with pytest.raises(DataError, match="validation_fraction is 0 and there is no val/ folder"):
        prepare_training_data(config)


def test_too_few_images_for_validation(make_folder) -> None:
    with pytest.raises(DataError, match="class 'bees' has too few images for the validation split: 1"):
        prepare_training_data(make_folder({"train/ants": 9, "train/bees": 2}))


def test_train_fraction_takes_a_share_of_the_training_images_only(two_classes: DataConfig) -> None:
    whole = prepare_training_data(two_classes)
    half = prepare_training_data(two_classes.model_copy(update={"train_fraction": 0.5}))
    assert torch.equal(half.validation_indices, whole.validation_indices)
    assert set(half.train_indices.tolist()) < set(whole.train_indices.tolist())
    assert half.labels[half.train_indices].bincount().tolist() == [3, 5]


def test_no_test_split(make_folder) -> None:
    config = make_folder({"train/ants": 4, "train/bees": 4}, test_fraction=0.0)
    assert len(prepare_training_data(config).labels) == 8
    with pytest.raises(DataError, match="the test split is empty: data.test_fraction is 0"):
        open_test_data(config)


def test_digits() -> None:
    config = DataConfig(dataset="digits")
    data, sealed = prepare_training_data(config), open_test_data(config)
    assert data.image_shape == (1, 8, 8)
    assert len(data.train_indices) + len(data.validation_indices) + len(sealed.labels) == 1797
    assert int(data.images.max()) == 255
    assert sealed.labels.bincount().tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]


def test_measured_normalization_is_of_the_training_images(two_classes: DataConfig) -> None:
    data = prepare_training_data(two_classes)
    pixels = data.images[data.train_indices].double() / 255
    assert data.mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist())
    assert data.std == pytest.approx(pixels.std(dim=(0, 2, 3), correction=0).tolist())


@pytest.mark.parametrize(
    ("normalization", "channels", "mean", "std"),
    [
        ("none", 3, (0.0,) * 3, (1.0,) * 3),
        ("imagenet", 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("imagenet", 1, (0.459,), (0.226,)),
    ],
)
def test_stated_normalization(
    two_classes: DataConfig, normalization: str, channels: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    update = {"normalization": normalization, "channels": channels}
    data = prepare_training_data(two_classes.model_copy(update=update))
    assert data.mean == pytest.approx(mean, abs=1e-3)
    assert data.std == pytest.approx(std, abs=1e-3)


def test_a_constant_channel_deviates_by_one(two_classes: DataConfig) -> None:
    from PIL import Image

    assert two_classes.root is not None
    for file in two_classes.root.rglob("*.jpg"):
        Image.new("RGB", (20, 20), (255, 128, 0)).save(file)
    data = prepare_training_data(two_classes)
    assert data.mean == pytest.approx((254 / 255, 128 / 255, 0), abs=0.01)
    assert data.std == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"split_seed": 1},
        {"validation_fraction": 0.4},
        {"train_fraction": 0.5},
        {"test_fraction": 0.4},
        {"normalization": "none"},
        {"image_size": 12},
        {"channels": 1},
        {"resize": "stretch"},
    ],
)
def test_fingerprint_tells_settings_apart(two_classes: DataConfig, change: dict[str, object]) -> None:
    fingerprint = prepare_training_data(two_classes).fingerprint
    assert prepare_training_data(two_classes).fingerprint == fingerprint
    assert prepare_training_data(two_classes.model_copy(update=change)).fingerprint != fingerprint


def test_too_many_unreadable_files(two_classes: DataConfig) -> None:
    assert two_classes.root is not None
    spoilt = sorted(two_classes.root.rglob("*.jpg"))[::3]
    for file in spoilt:
        file.write_text("no picture")
    with pytest.raises(
        DataError, match=r"of 20 images \(\d+\.0%\) cannot be read, and data.max_unreadable allows 1.0%"
    ) as e:
        prepare_training_data(two_classes)
    assert "train/ants/" in str(e.value)
    assert "not an image of a known format" in str(e.value)
    assert "more\n" in str(e.value)
    data = prepare_training_data(two_classes.model_copy(update={"max_unreadable": 0.5}))
    assert len(data.labels) + len(data.unreadable) == 20
    assert 5 < len(data.unreadable) < 9


def test_nothing_readable(two_classes: DataConfig) -> None:
    assert two_classes.root is not None
    for file in two_classes.root.rglob("*.jpg"):
        file.write_text("no picture")
    with pytest.raises(DataError, match=r"20 of 20 images \(100.0%\)"):
        prepare_training_data(two_classes.model_copy(update={"max_unreadable": 0.99}))


def test_opened_once_a_process(two_classes: DataConfig) -> None:
    first = open_training_data(two_classes)
    assert open_training_data(DataConfig.model_validate(two_classes.model_dump())) is first
    assert open_training_data(two_classes.model_copy(update={"train_fraction": 0.5})) is not first


def test_training_never_opens_the_sealed_part(two_classes: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the sealed test split was opened")

    monkeypatch.setattr(training_data, "open_sealed_entry", refuse)
    data = prepare_training_data(two_classes)
    assert np.isfinite(data.mean).all()

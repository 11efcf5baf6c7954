import errno
import os
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.config import DataConfig, TrialConfig
from trainables.data.cache_folder import CacheWarning, cache_directory
from trainables.data.training_data import TrainingData, open_training_data
from trainables.errors import DataError
from trainables.models.backbone import Backbone
from trainables.training import features
from trainables.training.checkpoint import load_best
from trainables.training.device import choose_compute
from trainables.training.features import has_fixed_features, head_task
from trainables.training.loop import Metrics, build_classifier, train


@pytest.fixture
def data_config(tmp_path: Path) -> DataConfig:
    return DataConfig(dataset="digits", image_size=16, channels=3, train_fraction=0.3, cache_dir=tmp_path / "cache")


@pytest.fixture
def data(data_config: DataConfig) -> TrainingData:
    return open_training_data(data_config)


def _trial(data_config: DataConfig, **changes: Any) -> TrialConfig:
    model = {"name": "backbone", "architecture": "resnet18", "cut_at": "layer1", "freeze_depth": "all"}
    training = {"max_epochs": 3, "precision": "fp32", "checkpoint_seconds": 0.0}
    return TrialConfig.model_validate(
        {
            "data": data_config,
            "model": {**model, **changes.pop("model", {})},
            "training": {**training, **changes.pop("training", {})},
            **changes,
        }
    )


HEADS = [
    {"head_dropout": 0.3},
    {"head": "mlp", "head_units": [16], "head_dropout": 0.3},
    {"head": "conv", "head_units": [8], "head_dropout": 0.3},
]


def _files(config: TrialConfig) -> list[Path]:
    return sorted((cache_directory(config.data) / "features").glob("*/features.npy"))


def _numbers(history: list[Metrics]) -> list[float]:
    return [epoch[name] for epoch in history for name in ("train_loss", "val_loss", "val_accuracy", "learning_rate")]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cached_and_uncached_training_are_equal(
    data_config: DataConfig, data: TrainingData, tmp_path: Path, head: dict[str, Any], precision: str
) -> None:
    config = _trial(data_config, model=head, training={"precision": precision})
    cached = list(train(config, data, folder=tmp_path / "cached"))
    (file,) = _files(config)
    plain = list(train(config, data, folder=tmp_path / "plain", cache_features=False))
    assert _numbers(cached) == pytest.approx(_numbers(plain), rel=1e-4 if precision == "fp32" else 3e-2)
    assert np.load(file).dtype == (np.float32 if precision == "fp32" else np.uint16)
    weights, same = load_best(tmp_path / "cached"), load_best(tmp_path / "plain")
    assert weights.keys() == same.keys() == build_classifier(config, data).state_dict().keys()
    if precision == "fp32":
        for name, value in weights.items():
            torch.testing.assert_close(value, same[name], rtol=1e-3, atol=1e-5)


def test_the_best_weights_are_a_whole_classifier(data_config: DataConfig, data: TrainingData, tmp_path: Path) -> None:
    config = _trial(data_config, training={"max_epochs": 1})
    (metrics,) = train(config, data, folder=tmp_path)
    classifier = build_classifier(config, data)
    classifier.load_state_dict(load_best(tmp_path))
    with torch.no_grad():
        predicted = classifier.eval()(data.images[data.validation_indices]).argmax(1)
    accuracy = (predicted == data.labels[data.validation_indices]).double().mean()
    assert float(accuracy) == pytest.approx(metrics["val_accuracy"])
    assert (tmp_path / "best.pt").stat().st_size < (tmp_path / "frozen.pt").stat().st_size / 10


def test_trials_have_the_frozen_weights_in_common(data_config: DataConfig, data: TrainingData, tmp_path: Path) -> None:
    config = _trial(data_config, training={"max_epochs": 1})
    for trial in ("first", "second"):
        list(train(config, data, folder=tmp_path / trial))
    assert (tmp_path / "first" / "frozen.pt").samefile(tmp_path / "second" / "frozen.pt")
    whole = load_best(tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    shutil.rmtree(_files(config)[0].parent)
    assert load_best(tmp_path / "second").keys() == whole.keys()


def test_frozen_weights_on_another_file_system(
    data_config: DataConfig, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    config = _trial(data_config, training={"max_epochs": 1})
    list(train(config, data, folder=tmp_path / "trial"))
    assert (tmp_path / "trial" / "frozen.pt").stat().st_nlink == 1
    assert load_best(tmp_path / "trial").keys() == build_classifier(config, data).state_dict().keys()


def test_the_backbone_computes_once_for_all_heads_and_epochs(
    data_config: DataConfig, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    images: list[int] = []
    original = Backbone.features

    def counted(self: Backbone, batch: torch.Tensor) -> torch.Tensor:
        images.append(len(batch))
        return original(self, batch)

    monkeypatch.setattr(Backbone, "features", counted)
    for rate in (0.1, 0.01):
        list(train(_trial(data_config, optimizer={"name": "sgd", "learning_rate": rate}), data))
    assert sum(images) == len(data.train_indices) + len(data.validation_indices)


def test_only_images_of_the_splits_are_computed(data_config: DataConfig, data: TrainingData) -> None:
    config = _trial(data_config)
    classifier = build_classifier(config, data)
    task = head_task(classifier, config, data, choose_compute("fp32"))
    assert len(task.inputs) == len(data.train_indices) + len(data.validation_indices) < len(data.labels)
    for indices, originals in (
        (task.train_indices, data.train_indices),
        (task.validation_indices, data.validation_indices),
    ):
        assert torch.equal(task.labels[indices], data.labels[originals])
        batch = data.images[originals[:5]].float() / 255
        with torch.no_grad():
            expected = classifier.eval().body.features(classifier.normalize(batch))
        torch.testing.assert_close(task.inputs[indices[:5]], expected, rtol=1e-4, atol=1e-5)


def test_interrupted_and_resumed_equals_uninterrupted(
    data_config: DataConfig, data: TrainingData, tmp_path: Path
) -> None:
    config = _trial(data_config, model=HEADS[0])
    whole = list(train(config, data, folder=tmp_path / "whole"))
    list(islice(train(config, data, folder=tmp_path / "parts"), 2))
    resumed = list(train(config, data, folder=tmp_path / "parts"))
    assert _numbers(resumed) == _numbers(whole)
    weights, again = load_best(tmp_path / "whole"), load_best(tmp_path / "parts")
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": {"horizontal_flip": 0.5}},
        {"augmentation": {"mixup": 0.2}},
        {"model": {"freeze_depth": 1}},
        {"model": {"freeze_depth": 0}},
    ],
)
def test_features_that_change_are_not_cached(
    data_config: DataConfig, data: TrainingData, changes: dict[str, Any]
) -> None:
    config = _trial(data_config, **changes)
    assert not has_fixed_features(build_classifier(config, data), config.augmentation)


def test_other_weights_or_images_lead_to_another_file(data_config: DataConfig, data: TrainingData) -> None:
    """Without pre-trained weights the seed decides them."""
    config = _trial(data_config, training={"max_epochs": 1})
    list(train(config, data))
    list(train(_trial(data_config, training={"max_epochs": 1, "seed": 1}), data))
    assert len(_files(config)) == 2
    other = data_config.model_copy(update={"split_seed": 1})
    list(train(_trial(other, training={"max_epochs": 1}), open_training_data(other)))
    assert len(_files(config)) == 3


def test_a_frozen_trunk_is_never_in_training_mode(data_config: DataConfig, data: TrainingData) -> None:
    """Its dropout would make each epoch's features different."""
    config = _trial(data_config, model={"architecture": "mobilenet_v3_small", "cut_at": None})
    body = build_classifier(config, data).train().body
    assert isinstance(body, Backbone)
    assert not any(layer.training for layer in body.trunk.modules())
    assert all(layer.training for layer in body.head.modules())


def test_a_full_disk_is_told_and_leaves_nothing(
    data_config: DataConfig, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(features, "_write", full)
    config = _trial(data_config)
    with pytest.raises(DataError, match=r"no space left for the backbone's features in .*features; free some"):
        list(train(config, data))
    folder = cache_directory(data_config) / "features"
    assert [path.suffix for path in folder.iterdir()] in ([], [".lock"])


def test_a_folder_that_cannot_be_written_is_told(data_config: DataConfig, data: TrainingData) -> None:
    (cache_directory(data_config) / "features").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written to .* folder that you can write to"):
        list(train(_trial(data_config), data))


def _zeroed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[256:] = bytes(len(content) - 256)
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _bit_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_zeroed, _cut, _bit_flipped, Path.unlink])
@pytest.mark.parametrize("name", ["features.npy", "weights.pt", "entry.json"])
def test_nothing_is_trained_on_a_damaged_entry(
    data_config: DataConfig, data: TrainingData, tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    config = _trial(data_config, training={"max_epochs": 1})
    history = list(train(config, data, folder=tmp_path / "first"))
    weights = load_best(tmp_path / "first")
    (file,) = _files(config)
    damage(file.with_name(name))
    with pytest.warns(CacheWarning, match=r"features in .*resnet18-.* are damaged .*; rebuilding them"):
        again = list(train(config, data, folder=tmp_path / "second"))
    assert _numbers(again) == _numbers(history)
    for key, value in load_best(tmp_path / "second").items():
        assert torch.equal(value, weights[key])


def test_an_entry_is_checked_once_a_process_not_once_a_trial(
    data_config: DataConfig, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []
    original = features._check
    monkeypatch.setattr(features, "_check", lambda folder: checked.append(folder) or original(folder))
    for trial in ("first", "second", "third"):  # each trial links to the weights, which changes the file's inode
        list(train(_trial(data_config, training={"max_epochs": 1}), data, folder=tmp_path / trial))
    assert len(checked) == 1

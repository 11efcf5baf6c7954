import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.config import DataConfig, TrialConfig
from trainables.config.objective import Objective
from trainables.data.training_data import TrainingData, open_training_data
from trainables.errors import DivergedError, InfeasibleError
from trainables.training import loop
from trainables.training.checkpoint import CheckpointWarning, load_best
from trainables.training.loop import Metrics, build_classifier, train
from trainables.training.memory_limit import limit_memory


@pytest.fixture(scope="module")
def data_config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return DataConfig(dataset="digits", cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def data(data_config: DataConfig) -> TrainingData:
    return open_training_data(data_config)


def _trial(data_config: DataConfig, **sections: dict[str, object]) -> TrialConfig:
    base: dict[str, object] = {
        "data": data_config,
        "model": {"name": "cnn", "blocks": 2, "filters": 8, "dense_units": 16, "dropout": 0.1},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "schedule": {"name": "cosine"},
        "augmentation": {"crop_padding": 1},
        "training": {"max_epochs": 4, "checkpoint_seconds": 0.0, "precision": "fp32"},
    }
    for name, section in sections.items():
        base[name] = section if "name" in section and name == "model" else {**base[name], **section}
    return TrialConfig.model_validate(base)


def _numbers(history: list[Metrics]) -> list[Metrics]:
    """Everything but the clock."""
    return [{name: value for name, value in epoch.items() if name != "epoch_seconds"} for epoch in history]


def test_a_small_cnn_learns_the_digits(data_config: DataConfig, data: TrainingData) -> None:
    config = _trial(data_config, model={"filters": 32}, augmentation={"crop_padding": 0}, training={"max_epochs": 8})
    history = list(train(config, data))
    assert len(history) == 8
    assert history[-1]["val_accuracy"] > 0.95
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_equal_seeds_give_equal_numbers_and_other_seeds_do_not(data_config: DataConfig, data: TrainingData) -> None:
    def run(seed: int) -> list[Metrics]:
        return _numbers(list(train(_trial(data_config, training={"seed": seed, "max_epochs": 2}), data)))

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "asgd"])
@pytest.mark.parametrize("schedule", ["one_cycle", "plateau"])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(
    data_config: DataConfig, data: TrainingData, tmp_path: Path, optimizer: str, schedule: str
) -> None:
    config = _trial(
        data_config, optimizer={"name": optimizer}, schedule={"name": schedule}, augmentation={"mixup": 0.2}
    )
    whole = list(train(config, data, folder=tmp_path / "whole"))
    list(islice(train(config, data, folder=tmp_path / "parts"), 2))
    torch.manual_seed(12345)  # another trial may have used the process in between
    resumed = list(train(config, data, folder=tmp_path / "parts"))
    assert _numbers(resumed) == _numbers(whole)
    weights, again = load_best(tmp_path / "whole"), load_best(tmp_path / "parts")
    assert all(torch.equal(weights[name], again[name]) for name in weights)


Change = Callable[[dict[str, Any]], None]
"""A change to a checkpoint that leaves it readable, its hash as it was."""


def _to(path: str, value: Callable[[Any], Any]) -> Change:
    *way, last = (int(key) if key.lstrip("-").isdecimal() else key for key in path.split("/"))

    def change(content: dict[str, Any]) -> None:
        target: Any = content
        for key in way:
            target = target[key]
        target[last] = value(target[last])

    return change


_CHANGES: dict[str, Change] = {
    "history is text": _to("history", lambda _: "three epochs"),
    "history is empty": _to("history", lambda _: []),
    "history is too long": _to("history", lambda history: history * 5),
    "an epoch is a number": _to("history/0", lambda _: 3),
    "an epoch lacks a metric": _to("history/0", lambda epoch: {"val_loss": epoch["val_loss"]}),
    "a metric is text": _to("history/0/val_accuracy", lambda _: "1.0"),
    "a metric is a tensor": _to("history/0/val_loss", lambda _: torch.zeros(3)),
    "a metric is not a number": _to("history/0/val_loss", lambda _: float("nan")),
    "an accuracy above 1": _to("history/-1/val_accuracy", lambda _: 99.5),
    "no weights": _to("model", lambda _: {}),
    "weights are a list": _to("model", lambda _: [1, 2]),
    "a weight of another shape": _to("model", lambda model: {key: torch.zeros(1) for key in model}),
    "a weight of another type": _to("model", lambda model: {key: value.double() for key, value in model.items()}),
    "optimizer is text": _to("optimizer", lambda _: "adamw"),
    "optimizer of another size": _to("optimizer/param_groups", lambda groups: groups * 2),
    "optimizer with another decay": _to("optimizer/param_groups/0/weight_decay", lambda _: 7.0),
    "optimizer's state is text": _to("optimizer/state", lambda state: dict.fromkeys(state, "text")),
    "random states are missing": _to("random_states", lambda _: {}),
    "a random state is short": _to("random_states/batches", lambda _: torch.zeros(3, dtype=torch.uint8)),
    "a random state is text": _to("random_states/torch", lambda _: "random"),
}


@pytest.fixture(scope="module")
def interrupted(data_config: DataConfig, data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial's folder after two of four epochs."""
    folder = tmp_path_factory.mktemp("interrupted")
    list(islice(train(_trial(data_config), data, folder=folder), 2))
    return folder


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES.keys())
def test_a_checkpoint_that_is_strange_gives_way_to_the_one_before(
    data_config: DataConfig, data: TrainingData, interrupted: Path, tmp_path: Path, change: Change
) -> None:
    shutil.copytree(interrupted, tmp_path / "trial")
    content = torch.load(tmp_path / "trial" / "last.pt", weights_only=True)
    change(content)
    torch.save(content, tmp_path / "trial" / "last.pt")
    with pytest.warns(CheckpointWarning, match=r"last\.pt cannot be read"):
        resumed = list(train(_trial(data_config), data, folder=tmp_path / "trial"))
    assert _numbers(resumed) == _numbers(list(train(_trial(data_config), data)))


def test_a_finished_trial_is_read_back_and_not_trained_again(
    data_config: DataConfig, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _trial(data_config)
    whole = list(train(config, data, folder=tmp_path))
    monkeypatch.setattr(loop, "evaluate", None)
    assert list(train(config, data, folder=tmp_path)) == whole


def test_checkpoints_wait_for_their_time_but_the_last_epoch_is_always_kept(
    data_config: DataConfig, data: TrainingData, tmp_path: Path
) -> None:
    config = _trial(data_config, training={"checkpoint_seconds": 3600.0})
    epochs = train(config, data, folder=tmp_path)
    next(epochs)
    assert not (tmp_path / "last.pt").exists()
    list(epochs)
    assert (tmp_path / "last.pt").exists()


def test_the_best_epochs_weights_are_kept(data_config: DataConfig, data: TrainingData, tmp_path: Path) -> None:
    # A learning rate that explodes ruins what the first epoch learnt.
    config = _trial(
        data_config, schedule={"name": "exponential", "gamma": 60.0}, training={"max_epochs": 3}, model={"dropout": 0.0}
    )
    objective = Objective()
    history = list(train(config, data, folder=tmp_path, objective=objective))
    best = max(range(3), key=lambda epoch: history[epoch]["val_accuracy"])
    assert best < 2
    classifier = build_classifier(config, data)
    classifier.load_state_dict(load_best(tmp_path))
    classifier.eval()
    with torch.no_grad():
        logits = classifier(data.images[data.validation_indices])
    accuracy = (logits.argmax(1) == data.labels[data.validation_indices]).double().mean()
    assert float(accuracy) == pytest.approx(history[best]["val_accuracy"])


def test_a_diverging_trial_ends_with_its_reason(data_config: DataConfig, data: TrainingData) -> None:
    config = _trial(data_config, optimizer={"name": "sgd", "learning_rate": 1e18}, model={"batch_norm": False})
    with pytest.raises(DivergedError, match="loss is .* after epoch 1"):
        list(train(config, data))


def test_out_of_memory_is_an_answer(data_config: DataConfig, data: TrainingData) -> None:
    config = _trial(data_config, model={"name": "fully_connected", "hidden": [16_384, 16_384]})
    with pytest.raises(InfeasibleError, match="out of memory"):
        list(limit_memory(train(config, data), 256 * 2**20))


def test_a_configuration_that_cannot_be_built_is_infeasible(data_config: DataConfig, data: TrainingData) -> None:
    with pytest.raises(InfeasibleError):
        list(train(_trial(data_config, model={"blocks": 6}), data))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_smoothing_and_clipping_train(
    data_config: DataConfig, data: TrainingData, smoothing: float, clip: float | None
) -> None:
    config = _trial(data_config, training={"label_smoothing": smoothing, "gradient_clip": clip, "max_epochs": 1})
    (metrics,) = train(config, data)
    assert 0.0 < metrics["val_accuracy"] <= 1.0


def test_bf16_learns_as_well(data_config: DataConfig, data: TrainingData) -> None:
    config = _trial(
        data_config,
        model={"filters": 32},
        augmentation={"crop_padding": 0},
        training={"max_epochs": 8, "precision": "bf16"},
    )
    assert list(train(config, data))[-1]["val_accuracy"] > 0.95

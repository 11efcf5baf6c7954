"""A search over heads of a frozen backbone, with and without the cache of its features.

    python benchmarks/feature_cache.py --data DIR     # DIR holds train/CLASS/*

Trials that differ in learning rate train the head of a frozen ResNet-18 (random weights cost what trained ones do),
checkpoints and all, in turn from cached features and from images. The first trial from features fills the cache; it
is stated apart. Prints a table and, as the last line, one JSON object.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from trainables.config import DataConfig, TrialConfig
from trainables.data.training_data import TrainingData, prepare_training_data
from trainables.training.allocator import reuse_freed_memory
from trainables.training.loop import train


@dataclass(frozen=True)
class Trial:
    seconds: float
    """From its configuration to its last epoch."""
    epoch_seconds: float
    """Median of its epochs but the first."""
    accuracies: list[float]


@dataclass(frozen=True)
class Row:
    what: str
    cached: float
    """Seconds."""
    uncached: float

    @property
    def ratio(self) -> float:
        return self.uncached / self.cached


def configuration(options: argparse.Namespace, cache: str, number: int) -> TrialConfig:
    data = {"dataset": "image_folder", "root": options.data, "image_size": options.size, "cache_dir": cache}
    return TrialConfig.model_validate(
        {
            "data": DataConfig.model_validate({**data, "normalization": "imagenet", "max_unreadable": 0.5}),
            "model": {"name": "backbone", "architecture": options.architecture, "freeze_depth": "all"},
            "optimizer": {"name": "adamw", "learning_rate": 0.001 * (number + 1)},
            "training": {"max_epochs": options.epochs, "batch_size": 32},
        }
    )


def run(config: TrialConfig, data: TrainingData, *, cached: bool) -> Trial:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        epochs = list(train(config, data, folder=Path(folder), cache_features=cached))
        seconds = time.perf_counter() - began
    later = statistics.median(epoch["epoch_seconds"] for epoch in epochs[1:])
    return Trial(seconds, later, [epoch["val_accuracy"] for epoch in epochs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TUNE_DATA"), help="default: $TUNE_DATA")
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="64 pixels, 2 epochs, 2 trials")
    options = parser.parse_args()
    if options.data is None:
        parser.error("give --data DIR, or set $TUNE_DATA to it")
    if options.quick:
        options.size, options.epochs, options.trials = 64, 2, 2
    torch.set_num_threads(options.threads)
    reuse_freed_memory()  # as a trial's process does
    with tempfile.TemporaryDirectory() as cache:
        data = prepare_training_data(configuration(options, cache, 0).data)
        first = run(configuration(options, cache, 0), data, cached=True)
        pairs = []
        for number in range(1, options.trials + 1):
            config = configuration(options, cache, number)
            pairs.append((run(config, data, cached=True), run(config, data, cached=False)))
    rows = [
        Row("a trial", *(statistics.median(pair[side].seconds for pair in pairs) for side in (0, 1))),
        Row("an epoch", *(statistics.median(pair[side].epoch_seconds for pair in pairs) for side in (0, 1))),
    ]
    furthest = max(abs(a - b) for one, two in pairs for a, b in zip(one.accuracies, two.accuracies, strict=True))
    images = len(data.train_indices) + len(data.validation_indices)
    print(f"{'seconds, median':16s} {'cached':>9s} {'uncached':>9s} {'ratio':>7s}")
    for row in rows:
        print(f"{row.what:16s} {row.cached:9.3f} {row.uncached:9.3f} {row.ratio:6.1f}x")
    print(f"first trial, which fills the cache with {images} images' features: {first.seconds:.2f} s")
    print(f"greatest difference in validation accuracy after any epoch: {furthest:.2%}")
    settings = {name: getattr(options, name) for name in ("architecture", "size", "epochs", "trials", "threads")}
    result = {"first_trial": first.seconds, "images": images, "accuracy_difference": furthest}
    table = [{**asdict(row), "ratio": row.ratio} for row in rows]
    print(json.dumps({"benchmark": "feature_cache", **settings, **result, "rows": table}))


if __name__ == "__main__":
    main()

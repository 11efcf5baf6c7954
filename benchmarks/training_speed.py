"""Training of reference systems A9 and C1 against the plain fp32 loop of PyTorch's tutorials.

    python benchmarks/training_speed.py --data DIR     # DIR holds train/CLASS/* and test/CLASS/*: CIFAR-10 as files
    python benchmarks/training_speed.py --data DIR --profile     # where this project's time goes

Both sides train the same network with the same optimizer and schedule on the same images (a part of CIFAR-10; C1 on
images enlarged to 96 pixels, the least that its five blocks take) and validate after every epoch. Every measurement is
a process of its own, the sides take turns, and each counts all epochs but its first. Beside the wall clock stands the
processor time, workers included: with one thread the steadier measure on a machine that others use too. Plain loops,
NCHW and fp32: `ImageFolder` with `DataLoader` workers, and float images in memory with `TensorDataset`. This project
also in fp32, as on a processor without bf16. Prints a table and, as the last line, one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from search_spaces.composition import compose
from search_spaces.loading import load_study
from trainables.config import TrialConfig
from trainables.data.training_data import TrainingData, prepare_training_data
from trainables.training.allocator import reuse_freed_memory
from trainables.training.loop import build_classifier, train
from trainables.training.optimizers import build_optimizer, set_learning_rate
from trainables.training.schedules import learning_rate_factor

REFERENCE = Path(__file__).parents[1] / "search_spaces" / "reference"
SYSTEMS = {"A9": ("A9_cifar10_32_filters.yaml", 32), "C1": ("C1_inat_from_scratch.yaml", 96)}
"""File and image size."""
SIDES = ("this project", "this project, fp32", "TensorDataset", "ImageFolder")


@dataclass(frozen=True)
class Settings:
    system: str
    side: str
    seed: int
    root: str
    epochs: int
    threads: int

    def config(self) -> TrialConfig:
        file, size = SYSTEMS[self.system]
        os.environ["TUNE_DATA"] = os.environ["INAT_ROOT"] = self.root
        config = compose(load_study(REFERENCE / file), {"training.seed": self.seed})
        fp32 = self.side == "this project, fp32"
        place = {"dataset": "image_folder", "root": self.root, "cache_dir": f"{self.root}/cache"}
        data = {**place, "image_size": size, "test_fraction": 0.0}  # all of train/ is trained on, as the plain loops do
        training = {"max_epochs": self.epochs, "precision": "fp32" if fp32 else "auto"}
        return TrialConfig.model_validate(
            {
                **config.model_dump(),
                "data": data,
                "training": {**config.training.model_dump(), **training},
            }
        )


@dataclass(frozen=True)
class Row:
    system: str
    side: str
    images_per_second: float
    """Of training, with validation in the time; median over seeds, as all but `accuracy`."""
    ratio: float
    """Of this project's speed to this side's."""
    images_per_cpu_second: float
    cpu_ratio: float
    accuracy: list[float]
    """After the last epoch, by seed."""


@dataclass(frozen=True)
class Measured:
    images_per_second: float
    images_per_cpu_second: float
    accuracy: float


def measure(settings: Settings) -> Measured:
    torch.set_num_threads(settings.threads)
    config = settings.config()
    data = prepare_training_data(config.data)
    if settings.side.startswith("this project"):
        reuse_freed_memory()
        epochs = (epoch["val_accuracy"] for epoch in train(config, data))
    else:
        epochs = plain_epochs(settings, config, data)
    next(epochs)
    wall, processor = time.perf_counter(), cpu_seconds()
    accuracies = list(epochs)
    wall, processor = time.perf_counter() - wall, cpu_seconds() - processor
    images = len(data.train_indices) * len(accuracies)
    return Measured(images / wall, images / processor, accuracies[-1])


def cpu_seconds() -> float:
    """Of this process and of its DataLoader workers, which live as long as their loaders."""
    process = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def plain_epochs(settings: Settings, config: TrialConfig, data: TrainingData) -> Iterator[float]:
    """The loop of the tutorials; accuracy of each epoch."""
    classifier = build_classifier(config, data)
    training, validation = loaders(settings, config, data)
    optimizer = build_optimizer(config.optimizer, classifier)
    for epoch in range(settings.epochs):
        classifier.train()
        for step, (images, labels) in enumerate(training):
            done = epoch + step / len(training)
            set_learning_rate(optimizer, learning_rate_factor(config.schedule, done, settings.epochs, []))
            optimizer.zero_grad()
            functional.cross_entropy(classifier(images), labels).backward()
            optimizer.step()
        yield plain_accuracy(classifier, validation)


@torch.no_grad()
def plain_accuracy(classifier: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> float:
    classifier.eval()
    hits = [(classifier(images).argmax(1) == labels).double() for images, labels in loader]
    return float(torch.cat(hits).mean())


def loaders(settings: Settings, config: TrialConfig, data: TrainingData) -> tuple[DataLoader, DataLoader]:
    batch, sets = config.training.batch_size, datasets(settings, config, data)
    workers = settings.threads if settings.side == "ImageFolder" else 0
    options = {"batch_size": batch, "num_workers": workers, "persistent_workers": workers > 0}
    return DataLoader(sets[0], shuffle=True, **options), DataLoader(sets[1], **options)


def datasets(settings: Settings, config: TrialConfig, data: TrainingData) -> tuple[Dataset, Dataset]:
    if settings.side == "ImageFolder":
        size = config.data.image_size
        steps = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()])
        return ImageFolder(f"{settings.root}/train", steps), ImageFolder(f"{settings.root}/val", steps)
    return tuple(
        TensorDataset(data.images[rows].float() / 255, data.labels[rows])
        for rows in (data.train_indices, data.validation_indices)
    )


def link_subset(source: Path, target: Path, images: int) -> None:
    """Link the first images of each class: of `train` to train on, a quarter as many of `test` to validate on."""
    for origin, name, count in (("train", "train", images), ("test", "val", images // 4)):
        classes = sorted(path for path in (source / origin).iterdir() if path.is_dir())
        for folder in classes:
            place = target / name / folder.name
            place.mkdir(parents=True)
            for path in sorted(folder.iterdir())[: count // len(classes)]:
                (place / path.name).symlink_to(path.resolve())


def measure_apart(settings: Settings) -> Measured:
    """`measure` in a process of its own: threads and memory are as a trial has them."""
    command = [sys.executable, __file__, "--one", json.dumps(asdict(settings))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    measured = Measured(**json.loads(output.splitlines()[-1]))
    print(f"{settings.system} {settings.side}, seed {settings.seed}: {measured}", file=sys.stderr, flush=True)
    return measured


def compare(system: str, root: str, options: argparse.Namespace) -> list[Row]:
    seen: dict[str, list[Measured]] = {side: [] for side in SIDES}
    for seed in range(options.seeds):
        for side in SIDES:
            seen[side].append(measure_apart(Settings(system, side, seed, root, options.epochs, options.threads)))
    return [row(system, side, seen[SIDES[0]], results) for side, results in seen.items()]


def row(system: str, side: str, ours: list[Measured], theirs: list[Measured]) -> Row:
    pairs = list(zip(ours, theirs, strict=True))
    return Row(
        system,
        side,
        statistics.median(its.images_per_second for its in theirs),
        statistics.median(our.images_per_second / its.images_per_second for our, its in pairs),
        statistics.median(its.images_per_cpu_second for its in theirs),
        statistics.median(our.images_per_cpu_second / its.images_per_cpu_second for our, its in pairs),
        [its.accuracy for its in theirs],
    )


def profile(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    reuse_freed_memory()
    config = settings.config()
    epochs = train(config, prepare_training_data(config.data))
    next(epochs)
    with torch.profiler.profile() as profiler:
        next(epochs)
    print(f"{settings.system}: one epoch, validation included")
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=14, max_name_column_width=48))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TUNE_DATA"), help="default: $TUNE_DATA")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--images", type=int, default=4000, help="to train A9 on; C1 gets a quarter of them")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="torch's, and DataLoader's workers")
    parser.add_argument("--quick", action="store_true", help="1000 images, 2 epochs, 1 seed")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(measure(Settings(**json.loads(options.one))))))
        return
    if options.data is None:
        parser.error("give --data DIR, or set $TUNE_DATA to it")
    if options.quick:
        options.images, options.epochs, options.seeds = 1000, 2, 1
    rows: list[Row] = []
    for system in options.systems:
        with tempfile.TemporaryDirectory() as root:
            link_subset(options.data, Path(root), options.images if system == "A9" else options.images // 4)
            prepare_training_data(Settings(system, SIDES[0], 0, root, 1, 1).config().data)
            if options.profile:
                profile(Settings(system, SIDES[0], 0, root, 2, options.threads))
            else:
                rows += compare(system, root, options)
    if options.profile:
        return
    print(
        f"{'':4s} {'side':20s} {'images/s':>9s} {'ours is':>8s} {'images/CPU s':>13s} {'ours is':>8s}  accuracy by seed"
    )
    for each in rows:
        accuracies = "  ".join(f"{accuracy:.1%}" for accuracy in each.accuracy)
        wall = f"{each.images_per_second:9.0f} {each.ratio:7.2f}x"
        processor = f"{each.images_per_cpu_second:13.0f} {each.cpu_ratio:7.2f}x"
        print(f"{each.system:4s} {each.side:20s} {wall} {processor}  {accuracies}")
    settings = {"images": options.images, "epochs": options.epochs, "threads": options.threads}
    print(json.dumps({"benchmark": "training_speed", **settings, "rows": [asdict(each) for each in rows]}))


if __name__ == "__main__":
    main()

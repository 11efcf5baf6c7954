"""Input pipeline on photographs: cached bytes, whole batches augmented, against torchvision ImageFolder + DataLoader.

    python benchmarks/input_pipeline.py --data DIR     # DIR holds train/CLASS/*

Both sides deliver float batches in [0, 1] with the same augmentation, in this one run, from the second epoch on: this
project in one process with `--threads` threads, torchvision with as many DataLoader workers. Prints a table and, as
the last line, one JSON object.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

# Before torch is loaded: threads that wait sleep instead of spinning. Where another process wants a core, spinning
# threads keep the one that they wait for from running: 170 against 2,000 images/s seen on a busy two-core machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from trainables.config import AugmentationConfig, DataConfig
from trainables.data.batches import iterate_batches
from trainables.data.training_data import TrainingData, prepare_training_data
from trainables.data.transforms.augmenter import Augmenter
from trainables.training.allocator import reuse_freed_memory

CUT = 0.65
"""Greatest share of the area that a random resized crop takes away."""


@dataclass(frozen=True)
class Row:
    augmentation: str
    ours: float
    """Images per second."""
    torchvision: float

    @property
    def ratio(self) -> float:
        return self.ours / self.torchvision


def our_epochs(data: TrainingData, config: AugmentationConfig, batch_size: int) -> Callable[[], Iterator[Tensor]]:
    augmenter = Augmenter(config, len(data.classes))
    generator = torch.Generator().manual_seed(0)
    everything, device = torch.arange(len(data.labels)), torch.device("cpu")

    def epoch() -> Iterator[Tensor]:
        for images, labels in iterate_batches(data.images, data.labels, everything, batch_size, device, generator):
            yield augmenter(images, labels, generator)[0]

    return epoch


def torchvision_epochs(
    folder: Path, steps: list[object], batch_size: int, workers: int
) -> Callable[[], Iterator[Tensor]]:
    dataset = ImageFolder(str(folder), transforms.Compose([*steps, transforms.ToTensor()]))
    loader = DataLoader(dataset, batch_size, shuffle=True, num_workers=workers, persistent_workers=True)
    return lambda: (images for images, _ in loader)


def images_per_second(epoch: Callable[[], Iterator[Tensor]], seconds: float) -> float:
    """After one epoch that is not counted, whole epochs for at least so many seconds."""
    for _ in epoch():
        pass
    images, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        images += sum(len(batch) for batch in epoch())
    return images / (time.perf_counter() - began)


def measure(options: argparse.Namespace) -> list[Row]:
    size, padding = options.size, options.size // 8
    with tempfile.TemporaryDirectory() as cache:
        config = DataConfig(
            dataset="image_folder", root=options.data, image_size=size, cache_dir=cache, max_unreadable=0.5
        )
        data = prepare_training_data(config)
        cases = {
            "crop and flip": (
                AugmentationConfig(horizontal_flip=0.5, crop_padding=padding),
                [
                    transforms.Resize(size),
                    transforms.CenterCrop(size),
                    transforms.RandomCrop(size, padding, padding_mode="reflect"),
                    transforms.RandomHorizontalFlip(),
                ],
            ),
            "random resized crop and flip": (
                AugmentationConfig(horizontal_flip=0.5, random_resized_crop=CUT),
                [transforms.RandomResizedCrop(size, scale=(1 - CUT, 1)), transforms.RandomHorizontalFlip()],
            ),
        }
        return [
            Row(
                name,
                images_per_second(our_epochs(data, ours, options.batch_size), options.seconds),
                images_per_second(
                    torchvision_epochs(options.data / "train", theirs, options.batch_size, options.threads),
                    options.seconds,
                ),
            )
            for name, (ours, theirs) in cases.items()
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="image folder with train/CLASS/*")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2, help="our threads, and torchvision's workers")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reuse_freed_memory()  # as a trial's process does
    rows = measure(options)
    print(f"{'images/s':30s} {'this':>8s} {'torchvision':>12s} {'ratio':>7s}")
    for row in rows:
        print(f"{row.augmentation:30s} {row.ours:8.0f} {row.torchvision:12.0f} {row.ratio:6.1f}x")
    settings = {"size": options.size, "batch_size": options.batch_size, "threads": options.threads}
    print(
        json.dumps({"benchmark": "input_pipeline", **settings, "rows": [{**asdict(r), "ratio": r.ratio} for r in rows]})
    )


if __name__ == "__main__":
    main()

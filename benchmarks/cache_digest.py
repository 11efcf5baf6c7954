"""What it costs to check decoded images before they are trusted, against reading them and against decoding them.

    python benchmarks/cache_digest.py                      # noise as JPEGs, 3,000 of 256 pixels
    python benchmarks/cache_digest.py --data DIR           # DIR holds train/CLASS/*

Decodes into a cache in a temporary folder, then measures, each the fastest of some repetitions, with the files in the
page cache: reading the images alone; opening the entry as a process does that has not seen it, which checks it; opening
it again, which does not; and several processes that open it at once, as the workers of a node do. Also the digests
themselves, and the hash of the code that goes with every job. Prints a table and, as the last line, one JSON object.
"""

import argparse
import hashlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import trainables
from trainables.config import DataConfig
from trainables.data import cache_folder
from trainables.data.cache import open_training_entry
from trainables.software import _code

PIECE = 2**20


def fastest(works: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Seconds of the fastest run of each; in turns, so that what else the machine does falls on all of them."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repetitions):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def pictures(root: Path, count: int, size: int) -> None:
    """Write `count` JPEGs of blurred noise in two classes."""
    draw = np.random.default_rng(0)
    for number in range(count):
        folder = root / "train" / ("ants", "bees")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(draw.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8))
        coarse.resize((size, size)).save(folder / f"{number}.jpg", quality=90)


def read(path: Path, update: Callable[[memoryview], object] = lambda piece: None) -> None:
    """Read a file a piece at a time."""
    buffer = memoryview(bytearray(PIECE))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            update(buffer[:count])


def check(config: DataConfig) -> None:
    """Open the entry as a process does that has not seen it."""
    cache_folder._checked.clear()
    open_training_entry(config)


def together(config: DataConfig, count: int) -> None:
    """Have `count` processes check the entry at the same time."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=check, args=(config,)) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Seconds by name, and the bytes of the images."""
    root = options.data or folder / "pictures"
    if options.data is None:
        pictures(root, options.images, 256)
    config = DataConfig(
        dataset="image_folder",
        root=root,
        image_size=options.size,
        cache_dir=folder,
        test_fraction=0,
        max_unreadable=0.5,
    )
    began = time.perf_counter()
    entry = open_training_entry(config)
    found: dict[str, float] = {"decode": time.perf_counter() - began, "bytes": entry.images.nbytes}
    images = entry.folder / "images.npy"
    works = {
        "read": lambda: read(images),
        "check": lambda: check(config),
        "open again": lambda: open_training_entry(config),
        f"check in {options.processes} processes": lambda: together(config, options.processes),
        "SHA-256": lambda: read(images, hashlib.sha256().update),
        "BLAKE2b": lambda: read(images, hashlib.blake2b().update),
        "hash of the code": lambda: _code(Path(trainables.__file__).parent),
    }
    return found | fastest(works, options.repetitions)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, Path(folder))
    size = found.pop("bytes")
    print(f"{size / 1e6:.0f} MB of decoded images\n")
    print(f"{'':26}{'seconds':>9}{'MB/s':>9}{'of reading':>12}{'of decoding':>13}")
    for name, seconds in found.items():
        rate = "" if name in ("open again", "hash of the code") else f"{size / seconds / 1e6:.0f}"
        shares = f"{seconds / found['read']:12.2f}{seconds / found['decode']:13.4f}"
        print(f"{name:26}{seconds:9.4f}{rate:>9}{shares}")
    print(json.dumps({"bytes": size, **found}))


if __name__ == "__main__":
    main()

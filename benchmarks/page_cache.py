"""Memory of trials that train at once on many photographs: are the decoded images in memory once, or once a trial?

    python benchmarks/page_cache.py --data DIR     # DIR holds train/CLASS/*

Makes as many distinct JPEGs as asked for from the photographs (random crops, mirrored or not, brighter or darker) in a
temporary folder, decodes them into a cache there, and lets several processes train a linear classifier for an epoch on
all of them at the same time. Then the kernel is asked whose pages these are: /proc/PID/smaps of every process, and
mincore(2) for the file. Prints a table and, as the last line, one JSON object. Linux only; 10,000 images of 224 pixels
take 2 GB of disk.
"""

import argparse
import ctypes
import json
import mmap
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from trainables.config import DataConfig, TrialConfig
from trainables.data.training_data import open_training_data, prepare_training_data
from trainables.training.allocator import reuse_freed_memory
from trainables.training.loop import train

MIB = 2**20


@dataclass(frozen=True)
class Mapping:
    """What a process has of the images, in bytes."""

    size: int
    resident: int
    """`Rss`: in memory and in the process's page table."""
    proportional: int
    """`Pss`: each page divided by the processes that share it."""
    private: int
    """Clean and dirty pages that nobody shares."""
    dirty: int
    """Copies that the process made by writing."""
    rest: int
    """The process's own memory besides: private pages of all its other mappings."""


def photographs(source: Path, folder: Path, count: int, size: int) -> None:
    """Write `count` images, a little larger than `size`, from the files of `source`/train."""
    draw = random.Random(0)
    files = sorted(path for path in (source / "train").rglob("*") if path.is_file())
    each = -(-count // len(files))
    written = 0
    for file in files:
        try:
            with Image.open(file) as opened:
                photo = ImageOps.fit(opened.convert("RGB"), (size * 3 // 2, size * 3 // 2))
        except OSError:  # the data set holds files that are no images
            continue
        target = folder / "train" / file.parent.name
        target.mkdir(parents=True, exist_ok=True)
        for number in range(min(each + 1, count - written)):
            left, top = draw.randrange(photo.width - size), draw.randrange(photo.height - size)
            image = photo.crop((left, top, left + size, top + size))
            image = ImageOps.mirror(image) if draw.random() < 0.5 else image
            ImageEnhance.Brightness(image).enhance(draw.uniform(0.7, 1.3)).save(target / f"{file.stem}-{number}.jpg")
            written += 1


def trial(config: TrialConfig) -> None:
    """Train an epoch, say so, and wait until standard input ends."""
    torch.set_num_threads(1)
    reuse_freed_memory()
    data = open_training_data(config.data)
    metrics = next(train(config, data))
    print(json.dumps({"images": len(data.labels), "seconds": metrics["epoch_seconds"]}), flush=True)
    sys.stdin.read()


def mapping(pid: int, file: Path) -> Mapping:
    """Look into a process."""
    entries = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text(), flags=re.MULTILINE)
    images = [entry for entry in entries if str(file) in entry.partition("\n")[0]]
    others = [entry for entry in entries if entry not in images]
    private = ("Private_Clean", "Private_Dirty")
    return Mapping(
        size=_sum(images, "Size"),
        resident=_sum(images, "Rss"),
        proportional=_sum(images, "Pss"),
        private=_sum(images, *private),
        dirty=_sum(images, "Private_Dirty"),
        rest=_sum(others, *private),
    )


def _sum(entries: list[str], *names: str) -> int:
    found = (re.search(rf"^{name}: +(\d+) kB", entry, re.MULTILINE) for entry in entries for name in names)
    return sum(int(match[1]) * 1024 for match in found if match)


def in_page_cache(file: Path) -> int:
    """Bytes of a file that are in memory, whoever uses them."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, mmap.MAP_PRIVATE) as mapped:
        pages = np.zeros(-(-len(mapped) // mmap.PAGESIZE), np.uint8)
        address = np.frombuffer(mapped, np.uint8).ctypes.data
        if libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), pages.ctypes.data_as(ctypes.c_void_p)):
            raise OSError(ctypes.get_errno(), "mincore failed")
    return int((pages & 1).sum()) * mmap.PAGESIZE


def run_trials(config: TrialConfig, file: Path, count: int) -> Iterator[Mapping]:
    """Train in `count` processes at once; what each has of `file` when all have seen all images."""
    command = [sys.executable, __file__, "--trial", config.model_dump_json()]
    trials = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for process in trials:
            assert process.stdout is not None
            print(f"process {process.pid} trained: {process.stdout.readline().strip()}", file=sys.stderr)
        yield from [mapping(process.pid, file) for process in trials]
    finally:
        for process in trials:
            process.communicate()


def measure(options: argparse.Namespace) -> tuple[list[Mapping], int, int]:
    """What each process has, the file's bytes in the page cache, and the file's size."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder) / "photographs"
        photographs(options.data, root, options.images, options.size)
        data = DataConfig(
            dataset="image_folder",
            root=root,
            image_size=options.size,
            cache_dir=Path(folder),
            validation_fraction=0.1,
            test_fraction=0,
        )
        config = TrialConfig.model_validate(
            {"data": data, "model": {"name": "softmax_regression"}, "training": {"max_epochs": 1, "batch_size": 64}}
        )
        began = time.perf_counter()
        entry = prepare_training_data(data).cache_entry
        print(f"decoded {options.images} images in {time.perf_counter() - began:.1f} s", file=sys.stderr)
        file = Path(folder) / "training" / entry / "images.npy"
        mappings = list(run_trials(config, file, options.trials))
        return mappings, in_page_cache(file), file.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="image folder with train/CLASS/*")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--trials", type=int, default=4, help="processes at once")
    parser.add_argument("--folder", type=Path, help="where there is room; default: the system's temporary folder")
    parser.add_argument("--quick", action="store_true", help="500 images of 64 pixels")
    parser.add_argument("--trial", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trial:
        trial(TrialConfig.model_validate_json(options.trial))
        return
    if options.data is None:
        parser.error("give --data DIR")
    if options.quick:
        options.images, options.size = 500, 64
    mappings, cached, size = measure(options)
    print(
        f"{'MiB':14s} {'mapped':>8s} {'resident':>9s} {'its share':>10s} {'private':>8s} {'copied':>7s} {'other':>7s}"
    )
    for number, one in enumerate(mappings):
        row = (one.size, one.resident, one.proportional, one.private, one.dirty, one.rest)
        print(
            f"process {number:<6d} "
            + " ".join(f"{n / MIB:{w}.1f}" for n, w in zip(row, (8, 9, 10, 8, 7, 7), strict=True))
        )
    total = sum(one.proportional for one in mappings)
    print(
        f"the images: {size / MIB:.1f} MiB; in the page cache {cached / MIB:.1f}; all shares together {total / MIB:.1f}"
    )
    settings = {"images": options.images, "size": options.size, "trials": options.trials}
    result = {"file": size, "page_cache": cached, "shares": total, "rows": [asdict(one) for one in mappings]}
    print(json.dumps({"benchmark": "page_cache", **settings, **result}))


if __name__ == "__main__":
    main()

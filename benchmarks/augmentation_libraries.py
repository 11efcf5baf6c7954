"""Colors, rotation, mixing and TrivialAugment: this project's against kornia's, the same draws, one thread.

    pip install --no-deps --target DIR kornia==0.9.0 kornia_rs==0.2.0     # no dependency of this project
    OMP_NUM_THREADS=1 PYTHONPATH=.:DIR python benchmarks/augmentation_libraries.py

Float batches in [0, 1] come in and go out channels_last, as the project keeps images and convolutions want them. kornia
is measured as it is and, if that is faster, with its input made planes first. One factor, angle or partner an image is
drawn beforehand and given to both, but for three: `mixup` and `cutmix` draw for themselves in the project, and
`trivial_augment` in both, and not the same: kornia draws one operation a batch, the project one an image. Processor
time, so that other work counts for little; the sides take turns, and the ratio is the median over the turns. `differ`
is the greatest difference of the two results, 1 being white. Prints a table and, as the last line, one JSON object.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import kornia
import torch
from kornia.augmentation import RandomCutMixV2, RandomMixUpV2
from kornia.augmentation.auto import TrivialAugment
from kornia.geometry.bbox import bbox_generator
from torch import Tensor

from trainables.data.transforms import color
from trainables.data.transforms.geometric import rotation_matrices, sample
from trainables.data.transforms.mixing import cutmix, mixup
from trainables.data.transforms.trivial_augment import trivial_augment
from trainables.training.allocator import reuse_freed_memory

Call = Callable[[Tensor], Tensor]
BATCHES = {32: 256, 224: 64}
"""Images of a batch by their size in pixels."""


@dataclass(frozen=True)
class Case:
    name: str
    ours: Call
    kornia: Call
    same_draws: bool = True


@dataclass(frozen=True)
class Row:
    operation: str
    size: int
    ours: float
    """Images per second of processor time."""
    kornia: float
    ratio: float
    """Speed of kornia to ours."""
    differ: float | None


def cases(count: int, size: int) -> Iterator[Case]:
    factor = torch.rand(count) + 0.5
    e = kornia.enhance
    yield Case("brightness", lambda x: color.brightness(x, factor), by(e.adjust_brightness_accumulative, factor))
    yield Case("contrast", lambda x: color.contrast(x, factor), by(e.adjust_contrast_with_mean_subtraction, factor))
    yield Case(
        "saturation", lambda x: color.saturation(x, factor), by(e.adjust_saturation_with_gray_subtraction, factor)
    )
    yield Case("sharpness", lambda x: color.sharpness(x, factor), by(e.sharpness, factor))
    angle = (torch.rand(count) - 0.5) * 60
    turn = {"padding_mode": "reflection", "align_corners": False}
    yield Case(
        "rotation",
        lambda x: sample(x, rotation_matrices(angle.deg2rad(), 1)),
        lambda x: kornia.geometry.transform.rotate(x, angle, **turn),
    )
    yield from mixing(count, size)
    draws, policy = torch.Generator().manual_seed(0), TrivialAugment()
    yield Case("trivial_augment", lambda x: trivial_augment(x, draws), policy, same_draws=False)


def by(change: Callable[[Tensor, Tensor], Tensor], factor: Tensor) -> Call:
    return lambda x: change(x, factor)


def mixing(count: int, size: int) -> Iterator[Case]:
    """The project draws for itself, always the same; kornia is given as much to do."""
    labels = torch.eye(10)[torch.arange(count) % 10]
    partner, share = torch.randperm(count), torch.rand(count)
    side = torch.full((count,), size // 2)
    box = bbox_generator(torch.randint(size // 2, (count,)), torch.randint(size // 2, (count,)), side, side)
    one = torch.ones(1)
    mix = {"mixup_pairs": partner, "mixup_lambdas": share, "batch_prob": one}
    cut = {"mix_pairs": partner[None], "crop_src": box[None], "image_shape": torch.tensor([size, size])}
    generator = torch.Generator()
    their_mixup, their_cutmix = RandomMixUpV2(), RandomCutMixV2(use_correct_lambda=True)
    yield Case(
        "mixup",
        lambda x: mixup(x, labels, 0.2, generator.manual_seed(0))[0],
        lambda x: their_mixup.apply_transform(x, mix),
        same_draws=False,
    )
    yield Case(
        "cutmix",
        lambda x: cutmix(x, labels, 1.0, generator.manual_seed(0))[0],
        lambda x: their_cutmix.apply_transform(x, cut),
        same_draws=False,
    )


def images_per_second(call: Call, images: Tensor, seconds: float) -> float:
    done, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        call(images)
        done += len(images)
    return done / (time.process_time() - begin)


def compare(case: Case, images: Tensor, turns: int, seconds: float) -> Row:
    as_is: Call = lambda x: channels_last(case.kornia(x))  # noqa: E731  # two of them, beside each other
    planes: Call = lambda x: channels_last(case.kornia(x.contiguous()))  # noqa: E731
    seen = []
    for _ in range(turns + 1):
        ours, *theirs = (images_per_second(call, images, seconds) for call in (case.ours, as_is, planes))
        seen.append((ours, max(theirs)))
    seen = seen[1:]  # the first turn fills memory
    ours, theirs = (statistics.median(turn[side] for turn in seen) for side in range(2))
    ratio = statistics.median(turn[1] / turn[0] for turn in seen)
    differ = float((case.ours(images) - case.kornia(images)).abs().max()) if case.same_draws else None
    return Row(case.name, images.shape[2], ours, theirs, ratio, differ)


def channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of processor time for each side and turn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    reuse_freed_memory()
    warnings.simplefilter("ignore")
    print(f"{'':16s} {'px':>4s} {'ours':>9s} {'kornia':>9s} {'kornia is':>10s} {'differ':>7s}")
    rows = []
    for size, count in BATCHES.items():
        images = channels_last(torch.rand(count, 3, size, size))
        for case in cases(count, size):
            row = compare(case, images, options.turns, options.seconds)
            rows.append(asdict(row))
            differ = "" if row.differ is None else f"{row.differ:7.1e}"
            print(
                f"{row.operation:16s} {size:4d} {row.ours:9.0f} {row.kornia:9.0f} {row.ratio:9.2f}x {differ}",
                flush=True,
            )
    print(json.dumps({"benchmark": "augmentation_libraries", "kornia": kornia.__version__, "rows": rows}))


if __name__ == "__main__":
    main()

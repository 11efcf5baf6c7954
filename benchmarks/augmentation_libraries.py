"""Colors, rotation, mixing and TrivialAugment: kornia's against plain torch, the same draws, one thread.

    OMP_NUM_THREADS=1 python benchmarks/augmentation_libraries.py

The project has kornia's colors and rotation, and the rest in plain torch; what kornia replaced stands below. Float
batches in [0, 1] come in and go out channels_last, as the project keeps images and convolutions want them. kornia is
measured as it is and, if that is faster, with its input made planes first. One factor, angle or partner an image is
drawn beforehand and given to both, but for three: `mixup` and `cutmix` draw for themselves in plain torch, and
`trivial_augment` on both sides, and not the same: kornia draws one operation a batch, the project one an image.
Processor time, so that other work counts for little; the sides take turns, and the ratio is the median over the turns.
`differ` is the greatest difference of the two results, 1 being white. Prints a table and, as the last line, one JSON
object.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

import kornia
import torch
from kornia.augmentation import RandomCutMixV2, RandomMixUpV2
from kornia.augmentation.auto import TrivialAugment
from kornia.geometry.bbox import bbox_generator
from torch import Tensor

from trainables.data.transforms import color
from trainables.data.transforms.geometric import sample
from trainables.data.transforms.mixing import cutmix, mixup
from trainables.data.transforms.trivial_augment import trivial_augment
from trainables.training.allocator import reuse_freed_memory

Call = Callable[[Tensor], Tensor]
BATCHES = {32: 256, 224: 64}
"""Images of a batch by their size in pixels."""


@dataclass(frozen=True)
class Case:
    name: str
    plain: Call
    kornia: Call
    same_draws: bool = True


@dataclass(frozen=True)
class Row:
    operation: str
    size: int
    plain: float
    """Images per second of processor time."""
    kornia: float
    ratio: float
    """Speed of kornia to plain torch's."""
    differ: float | None


LUMA = torch.tensor([0.299, 0.587, 0.114])


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor[:, None, None, None]).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    return blend((images.mean(dim=(2, 3)) @ LUMA)[:, None, None, None], images, factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    return blend((images.permute(0, 2, 3, 1) @ LUMA)[:, None], images, factor)


def blend(base: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(base.expand_as(images), images, factor[:, None, None, None]).clamp_(0, 1)


def rotation(images: Tensor, degrees: Tensor) -> Tensor:
    """Of square images."""
    angle = degrees.deg2rad()
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [torch.stack(row, dim=1) for row in ([cosine, -sine, zero], [sine, cosine, zero])]
    return sample(images, torch.stack(rows, dim=1))


def cases(count: int, size: int) -> Iterator[Case]:
    factor, angle, enhance = torch.rand(count) + 0.5, (torch.rand(count) - 0.5) * 60, kornia.enhance
    yield Case("brightness", by(brightness, factor), by(enhance.adjust_brightness_accumulative, factor))
    yield Case("contrast", by(contrast, factor), by(enhance.adjust_contrast_with_mean_subtraction, factor))
    yield Case("saturation", by(saturation, factor), by(enhance.adjust_saturation_with_gray_subtraction, factor))
    yield Case("sharpness", by(color.sharpness, factor), by(enhance.sharpness, factor))
    turn = partial(kornia.geometry.transform.rotate, padding_mode="reflection", align_corners=False)
    yield Case("rotation", by(rotation, angle), by(turn, angle))
    yield from mixing(count, size)
    draws, policy = torch.Generator().manual_seed(0), TrivialAugment()
    yield Case("trivial_augment", lambda x: trivial_augment(x, draws), policy, same_draws=False)


def by(change: Callable[[Tensor, Tensor], Tensor], factor: Tensor) -> Call:
    return lambda x: change(x, factor)


def mixing(count: int, size: int) -> Iterator[Case]:
    """Plain torch draws for itself, always the same; kornia is given as much to do."""
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
    seen = []
    for _ in range(turns + 1):
        sides = (case.plain, laid_out(case.kornia, torch.channels_last), laid_out(case.kornia, torch.contiguous_format))
        plain, *theirs = (images_per_second(call, images, seconds) for call in sides)
        seen.append((plain, max(theirs)))
    seen = seen[1:]  # the first turn fills memory
    plain, theirs = (statistics.median(turn[side] for turn in seen) for side in range(2))
    ratio = statistics.median(turn[1] / turn[0] for turn in seen)
    differ = float((case.plain(images) - case.kornia(images)).abs().max()) if case.same_draws else None
    return Row(case.name, images.shape[2], plain, theirs, ratio, differ)


def laid_out(call: Call, layout: torch.memory_format) -> Call:
    return lambda images: channels_last(call(images.contiguous(memory_format=layout)))


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
    print(f"{'':16s} {'px':>4s} {'plain':>9s} {'kornia':>9s} {'kornia is':>10s} {'differ':>7s}")
    rows = []
    for size, count in BATCHES.items():
        images = channels_last(torch.rand(count, 3, size, size))
        for case in cases(count, size):
            row = compare(case, images, options.turns, options.seconds)
            rows.append(asdict(row))
            differ = "" if row.differ is None else f"{row.differ:7.1e}"
            print(
                f"{row.operation:16s} {size:4d} {row.plain:9.0f} {row.kornia:9.0f} {row.ratio:9.2f}x {differ}",
                flush=True,
            )
    print(json.dumps({"benchmark": "augmentation_libraries", "kornia": kornia.__version__, "rows": rows}))


if __name__ == "__main__":
    main()

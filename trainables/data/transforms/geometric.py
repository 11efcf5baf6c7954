"""Geometric transforms of batches; each image draws its own numbers."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from kornia.geometry.transform import rotate
from torch import Tensor

_LEVEL = 1 / 255
"""One step of a byte, in [0, 1]."""

_PIECE = 2**17
"""Bytes to convert to floats at once: both fit into a core's L2 cache."""


def uniform(generator: torch.Generator, count: int, low: float, high: float, device: torch.device) -> Tensor:
    """`count` numbers from [low, high), drawn on the generator's device and moved to `device`."""
    drawn = torch.rand(count, generator=generator, device=generator.device)
    return (low + (high - low) * drawn).to(device)


class _Piece(NamedTuple):
    target: slice
    source: slice
    """In the mirrored image if `mirrored`."""
    mirrored: bool


def _pieces(length: int, shift: int, mirrored: bool) -> Iterator[_Piece]:
    """The remaining part of a shifted image, and a reflected piece that fills the gap."""
    if shift >= 0:
        yield _Piece(slice(0, length - shift), slice(shift, length), mirrored)
    if shift > 0:
        yield _Piece(slice(length - shift, length), slice(1, shift + 1), not mirrored)
    if shift < 0:
        yield _Piece(slice(-shift, length), slice(0, length + shift), mirrored)
        yield _Piece(slice(0, -shift), slice(length - 1 + shift, length - 1), not mirrored)


@dataclass(frozen=True, eq=False)
class _Moves:
    """Moves of each image along one axis: index i is read from i + shift, of the mirrored image if `mirrored`."""

    shifts: Tensor
    mirrored: Tensor

    def sources(self, length: int) -> Tensor:
        """N x length: the source index of each row or column."""
        index = _reflect(torch.arange(length, device=self.shifts.device) + self.shifts[:, None], length)
        return torch.where(self.mirrored[:, None], length - 1 - index, index)

    def pieces(self, length: int) -> list[list[_Piece]]:
        """The same as one or two slices per image."""
        moves = zip(self.shifts.tolist(), self.mirrored.tolist(), strict=True)
        return [list(_pieces(length, shift, mirrored)) for shift, mirrored in moves]


@dataclass(frozen=True)
class FlipAndShift:
    """Mirror with a given probability, then shift by up to `padding` pixels over a reflected border.

    Pixels are only copied, so all devices give the same result: the CPU copies rectangles, image by image, and a GPU
    picks all pixels at once.
    """

    horizontal: float
    vertical: float
    padding: int

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x C x H x W of any type to the same type and shape; the result is channels_last."""
        rows = self._draw(images, self.vertical, generator)
        columns = self._draw(images, self.horizontal, generator)
        if images.device.type == "cpu" and self.padding < min(images.shape[2:]):
            return _copy_rectangles(images, rows, columns)
        return _pick_pixels(images, rows, columns)

    def _draw(self, images: Tensor, flip: float, generator: torch.Generator) -> _Moves:
        count, device, padding = len(images), images.device, self.padding
        shifts = torch.zeros(count, dtype=torch.long, device=device)
        mirrored = torch.zeros(count, dtype=torch.bool, device=device)
        if padding:
            shifts = uniform(generator, count, -padding, padding + 1, device).floor().long()
        if flip:
            mirrored = uniform(generator, count, 0, 1, device) < flip
        return _Moves(shifts, mirrored)


def _copy_rectangles(images: Tensor, rows: _Moves, columns: _Moves) -> Tensor:
    pixels = images.permute(0, 2, 3, 1)
    as_is, mirror = pixels.numpy(), pixels.flip(2).numpy()
    result = torch.empty(pixels.shape, dtype=pixels.dtype)
    targets, down, across = result.numpy(), rows.pieces(images.shape[2]), columns.pieces(images.shape[3])

    def copy(number: int) -> None:
        for row, column in product(down[number], across[number]):
            source = mirror[number] if column.mirrored else as_is[number]
            source = source[::-1] if row.mirrored else source
            targets[number, row.target, column.target] = source[row.source, column.source]

    _in_threads(copy, len(images))
    return result.permute(0, 3, 1, 2)


def _pick_pixels(images: Tensor, rows: _Moves, columns: _Moves) -> Tensor:
    count, _, height, width = images.shape
    image = torch.arange(count, device=images.device)[:, None, None]
    picked = images.permute(0, 2, 3, 1)[image, rows.sources(height)[:, :, None], columns.sources(width)[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def _reflect(index: Tensor, length: int) -> Tensor:
    """Indices beyond the border, mirrored back (the border pixel itself is not repeated)."""
    if length == 1:
        return torch.zeros_like(index)
    period = 2 * (length - 1)
    return (length - 1) - (index.remainder(period) - (length - 1)).abs()


@dataclass(frozen=True)
class RandomResizedCrop:
    """Crop a random rectangle and resize it to the full size: area from [1 - `cut`, 1], aspect from [3/4, 4/3]."""

    cut: float

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x C x H x W to the same shape; the result is channels_last."""
        boxes = self._boxes(images, generator)
        return _resample_each(images, boxes) if images.device.type == "cpu" else _resample_all(images, boxes)

    def _boxes(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x 4 integers on the CPU: top, left, height, width."""
        count, (height, width), cpu = len(images), images.shape[2:], torch.device("cpu")
        area = uniform(generator, count, 1 - self.cut, 1, cpu) * (height * width)
        aspect = torch.exp(uniform(generator, count, math.log(3 / 4), math.log(4 / 3), cpu))
        box_height = (area / aspect).sqrt().round().clamp(1, height)
        box_width = (area * aspect).sqrt().round().clamp(1, width)
        top = (uniform(generator, count, 0, 1, cpu) * (height - box_height + 1)).floor()
        left = (uniform(generator, count, 0, 1, cpu) * (width - box_width + 1)).floor()
        return torch.stack([top, left, box_height, box_width], dim=1).long()


def _resample_each(images: Tensor, boxes: Tensor) -> Tensor:
    """Image by image: torch's vectorized kernel for interleaved bytes is ten times faster than a sampling grid."""
    size = images.shape[2:]
    pixels = images.permute(0, 2, 3, 1).numpy()
    result = torch.empty(pixels.shape, dtype=images.dtype)
    targets, corners = result.numpy(), boxes.tolist()

    def resample(row: int) -> None:
        top, left, height, width = corners[row]
        box = np.ascontiguousarray(pixels[row : row + 1, top : top + height, left : left + width])
        # Boxes are only enlarged, so antialiasing changes nothing, but the kernel for bytes requires it.
        enlarged = F.interpolate(torch.from_numpy(box).permute(0, 3, 1, 2), size, mode="bilinear", antialias=True)
        targets[row : row + 1] = enlarged.permute(0, 2, 3, 1).numpy()

    if images.is_floating_point():  # the kernel for floats uses its own threads, and can round beyond [0, 1]
        for row in range(len(images)):
            resample(row)
        result.clamp_(0, 1)
    else:
        _in_threads(resample, len(images))
    return result.permute(0, 3, 1, 2)


def _in_threads(work: Callable[[int], None], count: int) -> None:
    """Call `work` with 0 to `count` - 1, in as many threads as torch uses.

    For many small tasks that do not hold the GIL for long: torch would split each task among its threads and wait for
    them every time.
    """
    threads = torch.get_num_threads()
    shares = [range(first, count, threads) for first in range(threads)]

    def do(share: range) -> None:
        for number in share:
            work(number)

    if threads == 1:
        do(shares[0])
    else:
        list(_pool(threads).map(do, shares))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "augmentation")


def _resample_all(images: Tensor, boxes: Tensor) -> Tensor:
    """All images through one sampling grid, which is fastest on a GPU."""
    image_size = boxes.new_tensor(images.shape[2:])
    boxes, image_size = boxes.to(images.device), image_size.to(images.device)
    corner, size = (boxes[:, :2] / image_size).flip(1), (boxes[:, 2:] / image_size).flip(1)  # x, y in [0, 1]
    matrices = torch.cat([torch.diag_embed(size), (2 * corner + size - 1)[:, :, None]], dim=2)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    # Do not read beyond the box: the grid ends at the centers of the box's outermost pixels.
    half = 1 / image_size.flip(0)
    first, last = 2 * corner - 1 + half, 2 * (corner + size) - 1 - half
    return _read(images, grid.clamp(first[:, None, None], last[:, None, None]))


@dataclass(frozen=True)
class Rotation:
    """Rotate about the center by up to `degrees` in either direction; corners are filled by reflection."""

    degrees: float

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x C x H x W to float in [0, 1]."""
        return rotated(images, uniform(generator, len(images), -self.degrees, self.degrees, images.device))


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Each image turned about its center; float in [0, 1]."""
    return rotate(to_unit(images), degrees, padding_mode="reflection", align_corners=False).clamp_(0, 1)


def sample(images: Tensor, matrices: Tensor) -> Tensor:
    """Sample each image at the coordinates given by its matrix, bilinear, reflecting at the border; float in [0, 1]."""
    return _read(images, F.affine_grid(matrices, list(images.shape), align_corners=False))


def _read(images: Tensor, grid: Tensor) -> Tensor:
    images = to_unit(images)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False).clamp_(0, 1)


def to_unit(images: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1], channels_last, as in the cache and fastest for convolutions; floats pass through."""
    if images.is_floating_point():
        return images
    images = images.contiguous(memory_format=torch.channels_last)
    return _scale_pieces(images) if images.device.type == "cpu" else images.float().mul_(_LEVEL)


def _scale_pieces(images: Tensor) -> Tensor:
    """Piece by piece: a float batch of photos exceeds the CPU cache, so passing over it twice would be slow."""
    pixels = images.permute(0, 2, 3, 1).numpy()
    result = torch.empty(pixels.shape)
    targets, at_once = result.numpy(), -(-_PIECE // images.shape[1:].numel())

    def scale(piece: int) -> None:
        rows = slice(piece * at_once, (piece + 1) * at_once)
        np.multiply(pixels[rows], np.float32(_LEVEL), out=targets[rows])

    _in_threads(scale, -(-len(images) // at_once))
    return result.permute(0, 3, 1, 2)

"""Where an augmented image's pixels come from. Whole batches; every image draws its own numbers."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from torch import Tensor


def uniform(generator: torch.Generator, count: int, low: float, high: float, device: torch.device) -> Tensor:
    """`count` numbers from [low, high), drawn where the generator lives and moved to `device`."""
    drawn = torch.rand(count, generator=generator, device=generator.device)
    return (low + (high - low) * drawn).to(device)


@dataclass(frozen=True)
class FlipAndShift:
    """Mirror with some probability, then shift by up to `padding` pixels over a reflected border.

    Both only choose which row and column a pixel is taken from, so one pass over rows and one over columns does all.
    """

    horizontal: float
    vertical: float
    padding: int

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x C x H x W of any type to the same."""
        if self.vertical or self.padding:
            images = _take_rows(images, self._sources(images, 2, self.vertical, generator))
        if self.horizontal or self.padding:
            columns = self._sources(images, 3, self.horizontal, generator)
            images = images.gather(3, columns[:, None, None, :].expand_as(images))
        return images

    def _sources(self, images: Tensor, axis: int, flip: float, generator: torch.Generator) -> Tensor:
        """N x length: the index each row (or column) is taken from."""
        count, length, device = len(images), images.shape[axis], images.device
        index = torch.arange(length, device=device).expand(count, length)
        if self.padding:
            shift = uniform(generator, count, -self.padding, self.padding + 1, device).floor().long()
            index = _reflect(index + shift[:, None], length)
        if flip:
            mirrored = uniform(generator, count, 0, 1, device) < flip
            index = torch.where(mirrored[:, None], length - 1 - index, index)
        return index


def _take_rows(images: Tensor, rows: Tensor) -> Tensor:
    """Row `rows[n, y]` of image n to its row y: whole rows are copied, five times faster than `gather` picks pixels."""
    count, channels, height, width = images.shape
    first_row = torch.arange(count * channels, device=images.device).view(count, channels, 1) * height
    chosen = (first_row + rows[:, None, :]).flatten()
    return images.reshape(-1, width).index_select(0, chosen).view(count, channels, height, width)


def _reflect(index: Tensor, length: int) -> Tensor:
    """Indices beyond the border, mirrored back (the border pixel itself is not repeated)."""
    if length == 1:
        return torch.zeros_like(index)
    period = 2 * (length - 1)
    return (length - 1) - (index.remainder(period) - (length - 1)).abs()


@dataclass(frozen=True)
class RandomResizedCrop:
    """Cut a random rectangle and resize it to the whole: area from [1 - `cut`, 1], aspect from [3/4, 4/3]."""

    cut: float

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x C x H x W to the same; the result is channels_last."""
        boxes = self._boxes(images, generator)
        images = interleave(images)
        return _resample_each(images, boxes) if images.device.type == "cpu" else _resample_all(images, boxes)

    def _boxes(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x 4 whole numbers on the CPU: top, left, height, width."""
        count, (height, width), cpu = len(images), images.shape[2:], torch.device("cpu")
        area = uniform(generator, count, 1 - self.cut, 1, cpu) * (height * width)
        aspect = torch.exp(uniform(generator, count, math.log(3 / 4), math.log(4 / 3), cpu))
        box_height = (area / aspect).sqrt().round().clamp(1, height)
        box_width = (area * aspect).sqrt().round().clamp(1, width)
        top = (uniform(generator, count, 0, 1, cpu) * (height - box_height + 1)).floor()
        left = (uniform(generator, count, 0, 1, cpu) * (width - box_width + 1)).floor()
        return torch.stack([top, left, box_height, box_width], dim=1).long()


def _resample_each(images: Tensor, boxes: Tensor) -> Tensor:
    """Image by image: torch's vectorised kernel for interleaved bytes is ten times faster than a sampling grid."""
    height, width = images.shape[2:]
    resized = [
        F.interpolate(
            images[row : row + 1, :, top : top + h, left : left + w],
            size=(height, width),
            mode="bilinear",
            antialias=True,  # changes nothing, since boxes are only enlarged, and has the fast kernel
        )
        for row, (top, left, h, w) in enumerate(boxes.tolist())
    ]
    return torch.cat(resized).clamp_(0, 1) if images.is_floating_point() else torch.cat(resized)


def _resample_all(images: Tensor, boxes: Tensor) -> Tensor:
    """All images through one sampling grid: what a GPU does best."""
    height, width = images.shape[2:]
    top, left, box_height, box_width = boxes.to(images.device).float().unbind(1)
    matrices = torch.zeros(len(images), 2, 3, device=images.device)
    matrices[:, 0, 0], matrices[:, 1, 1] = box_width / width, box_height / height
    matrices[:, 0, 2] = (2 * left + box_width) / width - 1
    matrices[:, 1, 2] = (2 * top + box_height) / height - 1
    return sample(images, matrices)


@dataclass(frozen=True)
class Rotation:
    """Turn about the centre by up to `degrees` either way; corners are filled with the reflected image."""

    degrees: float

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """N x C x H x W to float in [0, 1]."""
        angle = uniform(generator, len(images), -self.degrees, self.degrees, images.device).deg2rad()
        return sample(images, rotation_matrices(angle, images.shape[3] / images.shape[2]))


def rotation_matrices(angle: Tensor, aspect: float) -> Tensor:
    """N x 2 x 3 maps from output to input coordinates in [-1, 1] that turn by `angle`; aspect is width / height."""
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    first, second = [cosine, -sine / aspect, zero], [sine * aspect, cosine, zero]
    return torch.stack([torch.stack(first, dim=1), torch.stack(second, dim=1)], dim=1)


def sample(images: Tensor, matrices: Tensor) -> Tensor:
    """Read each output pixel where its image's matrix points, bilinearly, reflecting at the border; float in [0, 1]."""
    images = to_unit(images)
    grid = F.affine_grid(matrices.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False).clamp_(0, 1)


def to_unit(images: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1], channels_last, as convolutions want it; floats pass through."""
    return images if images.is_floating_point() else interleave(images).float().mul_(1 / 255)


def interleave(images: Tensor) -> Tensor:
    """The same images, channels_last; almost twice as fast as `contiguous(memory_format=...)` on bytes."""
    if images.is_contiguous(memory_format=torch.channels_last):
        return images
    return torch.stack(images.unbind(1), dim=-1).permute(0, 3, 1, 2)

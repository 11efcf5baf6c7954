"""Batches of the cached images, by index."""

from collections.abc import Iterator

import torch
from torch import Tensor


def iterate_batches(
    images: Tensor,
    labels: Tensor,
    indices: Tensor,
    batch_size: int,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (uint8 images n x C x H x W, int64 labels n) on `device`, in the memory format of `images`.

    For training, pass a CPU `generator`: images come in random order, and a last batch of one image is dropped
    (unless it is the only batch), because batch norm cannot train on it. For evaluation, pass none: all images come in
    the order of `indices`.
    """
    order = indices if generator is None else indices[torch.randperm(len(indices), generator=generator)]
    chunks = list(torch.split(order, batch_size))
    if generator is not None:
        chunks = chunks[: count_batches(len(indices), batch_size, training=True)]
    for rows in chunks:
        yield _to_device(_take(images, rows), device), _to_device(labels.index_select(0, rows), device)


def count_batches(images: int, batch_size: int, *, training: bool) -> int:
    """Return how many batches `iterate_batches` yields: with a generator (`training`) or without."""
    batches = -(-images // batch_size)
    last_is_lonely = images % batch_size == 1 and batches > 1
    return batches - 1 if training and last_is_lonely else batches


def _take(images: Tensor, rows: Tensor) -> Tensor:
    """`images[rows]` in the same memory format.

    numpy copies cached images: a 224-pixel image takes 14 us, while torch's `index_select` takes 17 us on one thread
    and 62 us on two.
    """
    if images.dtype == torch.uint8 and images.is_contiguous(memory_format=torch.channels_last):
        return torch.from_numpy(images.permute(0, 2, 3, 1).numpy()[rows.numpy()]).permute(0, 3, 1, 2)
    return images.index_select(0, rows)


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":  # from pinned memory, the copy overlaps with GPU computation
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)

"""How long a model takes for one image on this machine's CPU."""

import torch
from torch import nn
from torch.utils.benchmark import Timer

THREADS = 1
"""More would make small models slower and the number depend on what else runs."""
_SECONDS = 0.5
"""The forward pass is repeated for about this long, after a warm-up."""


def measure_latency(model: nn.Module, image_shape: tuple[int, int, int]) -> float:
    """Median of repeated forward passes of one image on the CPU, in seconds, on `THREADS` thread.

    Args:
        model: on the CPU, in evaluation mode; takes images 1 x C x H x W, float32 in [0, 1].
        image_shape: channels, height, width.
    """
    image = torch.rand(1, *image_shape)

    @torch.inference_mode()
    def answer() -> None:
        model(image)

    timer = Timer("answer()", globals={"answer": answer}, num_threads=THREADS)
    return float(timer.blocked_autorange(min_run_time=_SECONDS).median)

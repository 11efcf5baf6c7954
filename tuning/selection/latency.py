"""How long a model takes for one image on this machine's CPU."""

import statistics
import time

import torch
from torch import nn

THREADS = 1
"""More would make small models slower and the number depend on what else runs."""
_WARM_UP = 3
_LEAST_REPEATS = 10
_SECONDS = 0.5
"""Fast models are repeated for this long."""


@torch.inference_mode()
def measure_latency(model: nn.Module, image_shape: tuple[int, int, int]) -> float:
    """Median of repeated forward passes of one image on the CPU, in seconds, on `THREADS` thread.

    Args:
        model: on the CPU, in evaluation mode; takes images 1 x C x H x W, float32 in [0, 1].
        image_shape: channels, height, width.
    """
    image = torch.rand(1, *image_shape)
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        for _ in range(_WARM_UP):
            model(image)
        times: list[float] = []
        while len(times) < _LEAST_REPEATS or sum(times) < _SECONDS:
            began = time.perf_counter()
            model(image)
            times.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return statistics.median(times)

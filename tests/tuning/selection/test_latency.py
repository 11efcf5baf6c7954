import time

import torch
from torch import nn

from tuning.selection.latency import THREADS, measure_latency


class _Sleeper(nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.shapes: set[tuple[int, ...]] = set()
        self.threads: set[int] = set()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.shapes.add(tuple(images.shape))
        self.threads.add(torch.get_num_threads())
        time.sleep(self.seconds)
        return images


def test_the_time_is_that_of_one_image_on_one_thread() -> None:
    before = torch.get_num_threads()
    model = _Sleeper(0.02)
    assert 0.02 <= measure_latency(model, (3, 8, 8)) < 0.2
    assert (model.shapes, model.threads) == ({(1, 3, 8, 8)}, {THREADS})
    assert torch.get_num_threads() == before

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.batches import count_batches, iterate_batches

CPU = torch.device("cpu")
IMAGES = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 3, 2, 2).contiguous()
LABELS = torch.arange(40)


def order(indices: torch.Tensor, batch_size: int, seed: int | None) -> list[list[int]]:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    batches = []
    for images, labels in iterate_batches(IMAGES, LABELS, indices, batch_size, CPU, generator):
        assert images.dtype == torch.uint8
        assert images.shape == (len(labels), 3, 2, 2)
        assert torch.equal(images[:, 0, 0, 0].long(), labels)
        batches.append(labels.tolist())
    return batches


def test_evaluation_keeps_the_order_and_every_image() -> None:
    indices = torch.tensor([5, 3, 9, 1, 7])
    assert order(indices, 2, None) == [[5, 3], [9, 1], [7]]


@given(count=st.integers(1, 40), batch_size=st.integers(1, 45), seed=st.integers(0, 1000))
def test_training_visits_each_image_once_but_a_lonely_last(count: int, batch_size: int, seed: int) -> None:
    batches = order(torch.arange(count), batch_size, seed)
    lonely = batch_size > 1 and count > 1 and count % batch_size == 1
    seen = sorted(row for batch in batches for row in batch)
    assert len(seen) == count - lonely
    assert len(set(seen)) == len(seen)
    assert len(batches) == count_batches(count, batch_size, training=True)
    assert len(order(torch.arange(count), batch_size, None)) == count_batches(count, batch_size, training=False)


def test_a_seed_fixes_the_order_and_epochs_differ() -> None:
    assert order(LABELS, 8, 1) == order(LABELS, 8, 1)
    assert order(LABELS, 8, 1) != order(LABELS, 8, 2)
    generator = torch.Generator().manual_seed(0)
    epochs = [
        [labels.tolist() for _, labels in iterate_batches(IMAGES, LABELS, LABELS, 8, CPU, generator)] for _ in range(2)
    ]
    assert epochs[0] != epochs[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_batches_reach_the_gpu() -> None:
    images, labels = next(iterate_batches(IMAGES, LABELS, LABELS, 8, torch.device("cuda")))
    assert images.device.type == labels.device.type == "cuda"
    assert torch.equal(images.cpu(), IMAGES[:8])

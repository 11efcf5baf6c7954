"""Loss and accuracy of a classifier on images that it is not trained on."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from trainables.data.batches import iterate_batches
from trainables.training.device import Compute

_MOST_AT_ONCE = 512
"""Maximum examples in a batch without gradients; larger batches were no faster at 28 pixels."""

_VALUES_AT_ONCE = 512 * 3 * 64 * 64
"""Maximum input values in a batch. Larger images get smaller batches, to need no more memory than training."""


@dataclass(frozen=True)
class Evaluation:
    """Result on a set of images."""

    loss: float
    """Mean cross-entropy in nats, without label smoothing."""
    predictions: torch.Tensor
    """Predicted class of each image, int64, in the order of the indices."""
    accuracy: float
    """In [0, 1]."""


@torch.no_grad()
def evaluate(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor, compute: Compute
) -> Evaluation:
    """Evaluate on `images[indices]` (uint8, N×C×H×W), without augmentation."""
    model.eval()
    loss = torch.zeros((), device=compute.device, dtype=torch.float64)
    predictions = []
    for batch, targets in iterate_batches(images, labels, indices, _batch_size(images), compute.device, None):
        with compute.autocast():
            logits = model(batch)
        loss += functional.cross_entropy(logits.float(), targets, reduction="sum").double()
        predictions.append(logits.argmax(dim=1))
    predicted = torch.cat(predictions).cpu()
    correct = int((predicted == labels[indices]).sum())
    return Evaluation(float(loss) / len(indices), predicted, correct / len(indices))


def _batch_size(images: torch.Tensor) -> int:
    return max(16, min(_MOST_AT_ONCE, _VALUES_AT_ONCE // images[0].numel()))

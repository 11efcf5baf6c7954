"""What the best epoch, the best trial and the champion are best in."""

from collections.abc import Mapping, Sequence
from typing import Literal

from trainables.config.base import Config


class Objective(Config):
    """A validation metric and its direction; equal values are told apart by the lower validation loss."""

    metric: Literal["val_accuracy", "val_loss"] = "val_accuracy"

    @property
    def mode(self) -> Literal["max", "min"]:
        """Which way is better."""
        return "min" if self.metric == "val_loss" else "max"

    def rank(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """Order of one epoch's metrics: greater is better.

        Accuracy on a few hundred images takes few values, so ties are common; the loss sees what lies between.
        """
        sign = 1.0 if self.mode == "max" else -1.0
        return sign * metrics[self.metric], -metrics["val_loss"]

    def best_epoch(self, epochs: Sequence[Mapping[str, float]]) -> int | None:
        """The best epoch, counted from 1, the earliest among equals; None if there is none."""
        if not epochs:
            return None
        return max(range(len(epochs)), key=lambda index: self.rank(epochs[index])) + 1

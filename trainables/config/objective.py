"""The objective, which ranks epochs and trials and picks the champion."""

from collections.abc import Mapping, Sequence
from typing import Literal

from trainables.config.base import Config


class Objective(Config):
    """A validation metric and its direction; the lower validation loss breaks ties."""

    metric: Literal["val_accuracy", "val_loss"] = "val_accuracy"

    @property
    def mode(self) -> Literal["max", "min"]:
        """Whether larger (`max`) or smaller (`min`) is better."""
        return "min" if self.metric == "val_loss" else "max"

    def rank(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """Sort key of one epoch's metrics: greater is better.

        Accuracy on a few hundred images has few distinct values, so ties are common; the loss breaks them.
        """
        sign = 1.0 if self.mode == "max" else -1.0
        return sign * metrics[self.metric], -metrics["val_loss"]

    def best_epoch(self, epochs: Sequence[Mapping[str, float]]) -> int | None:
        """The best epoch, counted from 1, the earliest if tied; None if there are no epochs."""
        if not epochs:
            return None
        return max(range(len(epochs)), key=lambda index: self.rank(epochs[index])) + 1

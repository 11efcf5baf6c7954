"""Check that a configuration can be built for the study's images, and measure it, before a worker gets it."""

from dataclasses import asdict
from functools import lru_cache

from trainables.config import ModelConfig, TrialConfig
from trainables.data.training_data import TrainingData
from trainables.errors import InfeasibleError, InputError
from trainables.models.size import measure_size


def feasibility_on(data: TrainingData) -> "Feasibility":
    """The feasibility check for these images."""
    return Feasibility(data.image_shape, len(data.classes))


class Feasibility:
    """Builds models on torch's meta device, which computes shapes but no values."""

    def __init__(self, image_shape: tuple[int, int, int], classes: int) -> None:
        """`image_shape` is (channels, height, width)."""
        # Many proposals share a model and differ only in the optimizer.
        self._measure = lru_cache(maxsize=4096)(lambda model: asdict(measure_size(model, image_shape, classes)))

    def check(self, config: TrialConfig) -> dict[str, int]:
        """Size of the model.

        Raises:
            InfeasibleError: it cannot be built for these images.
        """
        model: ModelConfig = config.model
        size: dict[str, int] = self._measure(model)
        return size

    def require(self, base: TrialConfig) -> None:
        """Reject a study whose base configuration cannot be built.

        Raises:
            InputError: with the reason.
        """
        try:
            self.check(base)
        except InfeasibleError as error:
            raise InputError(f"the base configuration cannot be built: {error}") from error

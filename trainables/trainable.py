"""The one file that imports Ray on a worker: a trial as a Ray Tune trainable, one step an epoch."""

import json
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from ray import tune

from trainables.config import TrialConfig
from trainables.config.objective import Objective
from trainables.data.training_data import open_training_data
from trainables.errors import InfeasibleError, TrialError
from trainables.training.loop import Metrics, train

_LAST_LINES = 12
"""Lines of a traceback that a failed trial reports."""


@dataclass(frozen=True)
class Job:
    """What a worker is told of a trial. No path to the test split is in it."""

    number: int
    config: dict[str, Any]
    """The whole `TrialConfig`, JSON-able."""
    folder: str
    """The trial's checkpoints, on storage that every node sees."""
    metric: str
    """The objective's metric: whose best epoch to keep."""
    cpus: int
    """Threads for torch."""

    def to_json(self) -> str:
        """One string: Ray Tune flattens, copies and names trials by every key of a configuration."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The job of `to_json`."""
        return cls(**json.loads(text))


class TrialTrainable(tune.Trainable):
    """Runs one `Job` after another in one process, so that torch is imported and images are mapped once a worker.

    An exception ends the trial, not the process: it is the last result, with `outcome` and `reason`.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take up the first job; called by Ray in the worker's process."""
        self._begin(Job.from_json(config["job"]))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up the next job in the same process."""
        self._begin(Job.from_json(new_config["job"]))
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch."""
        try:
            metrics = next(self._epochs)
        except InfeasibleError as error:
            return self._ended("infeasible", str(error))
        except TrialError as error:
            return self._ended("failed", str(error))
        except Exception as error:
            lines = traceback.format_exc().strip().splitlines()[-_LAST_LINES:]
            return self._ended("failed", f"{type(error).__name__}: {error}\n" + "\n".join(lines))
        self._epoch += 1
        last = self._epoch == self._max_epochs
        return {**metrics, "epoch": self._epoch, "outcome": "", "reason": "", "completed": last, "done": last}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing for Ray to keep: `trainables.training.checkpoint` writes the trial's own folder."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to do: training goes on from the trial's own folder."""

    def _begin(self, job: Job) -> None:
        torch.set_num_threads(job.cpus)
        config = TrialConfig.model_validate(job.config)
        self._epoch = 0
        self._max_epochs = config.training.max_epochs
        self._epochs = _epochs(job, config)

    def _ended(self, outcome: str, reason: str) -> dict[str, Any]:
        return {"epoch": self._epoch, "outcome": outcome, "reason": reason, "completed": False, "done": True}


def _epochs(job: Job, config: TrialConfig) -> Iterator[Metrics]:
    """Open the data and train; nothing happens before the first `next`."""
    data = open_training_data(config.data)
    objective = Objective.model_validate({"metric": job.metric})
    yield from train(config, data, folder=Path(job.folder), objective=objective)

"""A trial as a Ray Tune trainable, one step per epoch. The only file in `trainables` that imports Ray."""

import json
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from ray import tune

from trainables.config import TrialConfig
from trainables.config.objective import Objective
from trainables.config.references import without_secrets
from trainables.data.cache_folder import CacheWarning
from trainables.data.training_data import TrainingData, open_training_data
from trainables.errors import InfeasibleError, TrialError, TuneError
from trainables.software import Software, own_report, own_software
from trainables.training.allocator import return_freed_memory, reuse_freed_memory
from trainables.training.checkpoint import CheckpointWarning
from trainables.training.loop import Metrics, UnsavedBestWarning, train
from trainables.training.memory_limit import limit_memory

_LAST_LINES = 12
"""Number of traceback lines that a failed trial reports."""

_MOST_WARNINGS = 100
"""Maximum different warnings of a trial to pass on."""
_LONGEST_WARNING = 1000
"""Characters."""
_LONGEST_TRACEBACK = 32_000
"""Characters; the middle of longer ones is left out."""

_REFUSED_SECONDS = 1.0
"""Delay between answers of a worker that has refused its job."""


@dataclass(frozen=True)
class Job:
    """A trial as sent to a worker. Contains no path to the test split."""

    number: int
    config: dict[str, Any]
    """The full `TrialConfig`, as JSON types."""
    folder: str
    """Folder for the trial's checkpoints, on storage shared by all nodes."""
    metric: str
    """The objective's metric; the epoch best in it is kept."""
    cpus: int
    """Threads for torch."""
    memory: int | None
    """Bytes that the trial may add to the process's memory; None: no limit."""
    images: int
    """Number of training and validation images when the study began."""
    data_fingerprint: str
    """Fingerprint of those images; the trial trains on no others."""
    cache_entry: str
    """Name of the cache entry with these images, which exists at least on the driver's machine."""
    study: str
    """Token of the study; a worker accepts jobs of one study only."""
    software: dict[str, Any]
    """The driver's `Software`; a worker with a different one refuses the job."""

    def to_json(self) -> str:
        """A single string: Ray Tune flattens a configuration, copies every key, and names trials by them."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`."""
        return cls(**json.loads(text))


class TrialTrainable(tune.Trainable):
    """Runs one `Job` after another in one process, so that torch is imported and images are mapped once per worker.

    An exception ends the trial, not the process: it is reported as the last result, with `outcome` and `reason`. A job
    for another study or software version is refused: the process reports so and trains nothing, but stays allocated
    in Ray, so that the trial is scheduled on another process.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Start the first job; called by Ray in the worker process."""
        reuse_freed_memory()
        self._study = ""
        self._begin(config["job"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next job in the same process."""
        self._begin(new_config["job"])
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch."""
        if self._refusal:
            return self._refused()
        with _caught_warnings() as caught:
            result, trace = self._trained(caught)
        return {**result, "log": without_secrets("\n".join([*self._new_remarks(caught), *trace]))}

    def _trained(self, caught: list[warnings.WarningMessage]) -> tuple[dict[str, Any], list[str]]:
        """Result of an epoch, and the traceback if the trial failed."""
        try:
            metrics = next(self._epochs)
        except InfeasibleError as error:
            return self._ended("infeasible", str(error)), []
        except TuneError as error:
            return self._ended("failed", str(error)), [_traceback()]
        except Exception as error:
            trace = _traceback()
            lines = trace.splitlines()[-_LAST_LINES:]
            return self._ended("failed", f"{type(error).__name__}: {error}\n" + "\n".join(lines)), [trace]
        noted = [warning for warning in caught if issubclass(warning.category, CheckpointWarning | CacheWarning)]
        self._epoch += 1
        last = self._epoch == self._max_epochs
        result = {
            **metrics,
            "epoch": self._epoch,
            "worker": own_report(self._study).to_json(),
            "warning": "; ".join(str(warning.message) for warning in noted),
            "weights_saved": not any(issubclass(warning.category, UnsavedBestWarning) for warning in noted),
            "outcome": "",
            "reason": "",
            "completed": last,
            "done": last,
        }
        return result, []

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Give Ray nothing to keep: `trainables.training.checkpoint` writes to the trial's own folder."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Do nothing: training resumes from the trial's own folder."""

    def _begin(self, text: str) -> None:
        return_freed_memory()  # of the last trial
        self._epoch = 0
        self._told: set[str] = set()
        self._refusal = self._objection(json.loads(text))
        self._has_refused = False
        if self._refusal:  # this code may not be able to parse the rest of the job
            return
        job = Job.from_json(text)
        torch.set_num_threads(job.cpus)
        config = TrialConfig.model_validate(job.config)
        self._max_epochs = config.training.max_epochs
        self._epochs = _epochs(job, config)

    def _objection(self, job: dict[str, Any]) -> str:
        """Why this process must refuse the job; empty if it may train it."""
        self._study = self._study or job["study"]
        if job["study"] != self._study:
            return f"it works for study {self._study[:8]}, but the job belongs to study {job['study'][:8]}"
        return Software(**job["software"]).differences(own_software())

    def _refused(self) -> dict[str, Any]:
        if self._has_refused:
            time.sleep(_REFUSED_SECONDS)
        self._has_refused = True
        return {**self._ended("refused", self._refusal), "done": False}

    def _new_remarks(self, caught: list[warnings.WarningMessage]) -> list[str]:
        """One line for each warning that the trial has not given before."""
        remarks = []
        for warning in caught:
            text = f"{warning.category.__name__}: {str(warning.message)[:_LONGEST_WARNING]}"
            if text not in self._told and len(self._told) < _MOST_WARNINGS:
                self._told.add(text)
                remarks.append(f"{text} ({warning.filename}:{warning.lineno})")
                if len(self._told) == _MOST_WARNINGS:
                    remarks.append("further warnings of this trial are left out")
        return remarks

    def _ended(self, outcome: str, reason: str) -> dict[str, Any]:
        end = {"outcome": outcome, "reason": reason, "completed": False, "done": True}
        return {"epoch": self._epoch, "worker": own_report(self._study).to_json(), **end}


def _epochs(job: Job, config: TrialConfig) -> Iterator[Metrics]:
    """Open the data and train; does nothing before the first `next`."""
    data = open_training_data(config.data, job.cache_entry)
    if data.fingerprint != job.data_fingerprint:
        raise TrialError(_other_images(job, config, data))
    objective = Objective.model_validate({"metric": job.metric})
    yield from limit_memory(train(config, data, folder=Path(job.folder), objective=objective), job.memory)


def _other_images(job: Job, config: TrialConfig, data: TrainingData) -> str:
    return (
        f"the images in {config.data.root or config.data.dataset} have changed since the study began: then "
        f"{job.images} (fingerprint {job.data_fingerprint[:12]}), now {len(data.names)} (fingerprint "
        f"{data.fingerprint[:12]}), and this machine's cache no longer has the original ones; restore the files"
    )


@contextmanager
def _caught_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Collect Python's warnings, which nobody would see on a worker: once per location, training's own always."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for category in (CheckpointWarning, CacheWarning):
            warnings.simplefilter("always", category)
        yield caught


def _traceback() -> str:
    """Traceback of the exception being handled, with the middle left out if it is long."""
    trace = traceback.format_exc().strip()
    if len(trace) <= _LONGEST_TRACEBACK:
        return trace
    half = _LONGEST_TRACEBACK // 2
    return f"{trace[:half]}\n[{len(trace) - 2 * half} characters left out]\n{trace[-half:]}"

"""Estimates how long a study takes by training a few batches with its trials' code and images."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from search_spaces.composition import compose
from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from trainables.data.training_data import TrainingData
from trainables.errors import InputError, TrialError
from trainables.training.allocator import return_freed_memory, reuse_freed_memory
from trainables.training.loop import train
from trainables.training.memory_limit import limit_memory
from tuning.planning.plan import CalibratedTrial, Plan, PlannedTime, PlannedTrial, Seconds

_BATCHES = 3
"""Batches per calibration epoch; validation images are reduced by the same share."""
_LEAST_SECONDS = 1.0
"""Minimum time to measure a configuration, within `_MOST_EPOCHS`."""
_MOST_EPOCHS = 50

Report = Callable[[str, int, int], None]
"""Called with the current step, how much of it is done, and its total."""


def calibrate(study: StudyConfig, plan: Plan, data: TrainingData, concurrent: int, report: Report) -> PlannedTime:
    """Train a few batches of the plan's sample configurations and estimate the study's time.

    Writes only a frozen backbone's features, to a temporary folder.

    Args:
        study: the study.
        plan: the study's plan.
        data: the study's images.
        concurrent: trials that run at once.
        report: told of the progress.

    Raises:
        InputError: none of the configurations can be trained.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(study.resources.cpus_per_trial)
    reuse_freed_memory()
    try:
        samples = tuple(_calibrated(study, plan.samples, data, report))
    finally:
        torch.set_num_threads(threads)
        return_freed_memory()
    return estimate(study, plan, samples, concurrent)


def estimate(study: StudyConfig, plan: Plan, samples: Sequence[CalibratedTrial], concurrent: int) -> PlannedTime:
    """The study's time if trials are as fast as the samples.

    Raises:
        InputError: none of the samples could be trained.
    """
    a_pass = _seconds_per_epoch(samples)
    epochs, confirm = plan.epochs, study.confirm.top * study.confirm.seeds
    search = _times(
        a_pass, (epochs.most if epochs.expected is None else epochs.expected) / min(concurrent, plan.trials)
    )
    if study.search.time_budget is not None:
        search = Seconds(**{name: min(value, study.search.time_budget) for name, value in search})
    confirming = _times(a_pass, epochs.confirm / min(concurrent, max(1, confirm)))
    return PlannedTime(
        samples=tuple(samples),
        threads=study.resources.cpus_per_trial,
        concurrent=concurrent,
        seconds_per_epoch=a_pass,
        search=search,
        confirm=confirming,
        total=Seconds(**{name: value + getattr(confirming, name) for name, value in search}),
        assumptions=tuple(_assumptions(study, plan, concurrent)),
    )


def _calibrated(
    study: StudyConfig, samples: Sequence[PlannedTrial], data: TrainingData, report: Report
) -> Iterator[CalibratedTrial]:
    """Each feasible sample once, even if it is the smallest and the default."""
    different: dict[str, PlannedTrial] = {}
    for sample in samples:
        if sample.infeasible is None:
            different.setdefault(repr(sorted(sample.params.items())), sample)
    for done, sample in enumerate(different.values()):
        report("training a few batches of a few configurations", done, len(different))
        try:
            seconds = _measure(compose(study, sample.params), data, study.resources.memory_per_trial)
        except TrialError as error:
            yield CalibratedTrial(kind=sample.kind, params=sample.params, failed=str(error))
        else:
            yield CalibratedTrial(kind=sample.kind, params=sample.params, seconds_per_epoch=seconds)


def _measure(config: TrialConfig, data: TrainingData, memory: int | None) -> float:
    """Seconds per epoch on all images, including validation."""
    return_freed_memory()  # the last configuration's
    part = _part(data, _BATCHES * config.training.batch_size)
    measured: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        epochs = limit_memory(train(_harmless(config, Path(folder)), part), memory)
        next(epochs)  # warm-up: memory is allocated, kernels chosen, features computed, perhaps code compiled
        while not measured or (sum(measured) < _LEAST_SECONDS and len(measured) < _MOST_EPOCHS):
            measured.append(next(epochs)["epoch_seconds"])
    return statistics.median(measured) * len(data.train_indices) / len(part.train_indices)


def _part(data: TrainingData, images: int) -> TrainingData:
    """Up to `images` training images, evenly spaced, and the same share of the validation images."""
    step = max(1, len(data.train_indices) // images)
    train_indices = data.train_indices[::step][:images].contiguous()
    validation = max(1, round(len(data.validation_indices) * len(train_indices) / len(data.train_indices)))
    # A different fingerprint, because features are cached by it.
    return replace(
        data,
        train_indices=train_indices,
        validation_indices=data.validation_indices[:validation],
        fingerprint=f"{data.fingerprint}, {len(train_indices)} for calibration",
    )


def _harmless(config: TrialConfig, cache: Path) -> TrialConfig:
    """The same work with a learning rate too small to diverge, enough epochs, and a cache of its own."""
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"cache_dir": cache}),
            "optimizer": config.optimizer.model_copy(update={"learning_rate": 1e-8}),
            "training": config.training.model_copy(update={"max_epochs": _MOST_EPOCHS + 1}),
        }
    )


def _seconds_per_epoch(samples: Sequence[CalibratedTrial]) -> Seconds:
    measured = [(one.kind, one.seconds_per_epoch) for one in samples if one.seconds_per_epoch is not None]
    if not measured:
        raise InputError(
            f"none of the configurations can be trained: {samples[0].failed if samples else 'none can be built'}"
        )
    every = [seconds for _, seconds in measured]
    typical = [seconds for kind, seconds in measured if kind in ("default", "sampled")]
    return Seconds(low=min(every), expected=statistics.mean(typical or every), high=max(every))


def _times(a_pass: Seconds, passes: float) -> Seconds:
    return Seconds(**{name: value * passes for name, value in a_pass})


def _assumptions(study: StudyConfig, plan: Plan, concurrent: int) -> Iterator[str]:
    epochs, scheduler = plan.epochs, study.search.scheduler.name
    if epochs.expected is None:
        yield f"{epochs.most} epochs of search, as if no trial were stopped: what {scheduler} stops cannot be predicted"
    else:
        yield f"{epochs.expected} epochs of search expected with scheduler {scheduler}"
    yield f"trials at once: {concurrent}, each as fast as a single trial on an idle machine"
    yield "not counted: starting workers, checkpoints, features of frozen backbones (computed once per machine)"
    if study.search.time_budget is not None:
        yield "the search ends after search.time_budget at the latest"

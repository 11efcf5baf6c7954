"""What a study would do, without starting it. The fields are the JSON output: other programs rely on the names."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import optuna
from optuna.samplers import RandomSampler

from search_spaces.composition import compose
from search_spaces.schema import Parameter, StudyConfig, Value
from trainables.config import ModelConfig, TrialConfig
from trainables.config.base import Config
from trainables.config.models import AttentionCnnConfig
from trainables.errors import InfeasibleError
from tuning.execution.schedulers import expected_trial_epochs, greatest_epochs, rungs
from tuning.search.feasibility import Feasibility
from tuning.search.grid import Grid
from tuning.search.space import Space

_SHOWN = 3
"""Configurations shown besides the default, the smallest and the largest."""

_MAX_LAYERS = 2_500
"""Layers of all measured configurations together; each takes about 2 ms."""

_FLOAT_BYTES = 4


class PlannedParameter(Config):
    """One parameter of the space."""

    path: str
    choices: list[Any] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    when: dict[str, Any] | None = None
    values: int | Literal["continuous"]
    """Number of values."""


class PlannedTrial(Config):
    """One configuration of the space and what it costs."""

    kind: Literal["default", "smallest", "largest", "sampled"]
    """`smallest` and `largest`: by number of parameters, among the measured configurations."""
    params: dict[str, Any]
    parameters: int | None = None
    """None, like the fields below, if the configuration is infeasible."""
    macs: int | None = None
    """Multiply-accumulates of one image's forward pass."""
    memory_bytes: int | None = None
    """Weights, gradients, optimizer state and one batch's activations, in 32-bit floats: an estimate."""
    infeasible: str | None = None
    """Why it cannot be built."""


class PlannedEpochs(Config):
    """What training the study may cost."""

    a_trial: int
    """Epochs of the longest trial."""
    rungs: tuple[int, ...]
    """Epochs at which the scheduler decides."""
    most: int
    """Search epochs if no trial is stopped early."""
    expected: int | None
    """Search epochs if each rung promotes its share of the trials; None if that cannot be predicted."""
    confirm: int
    """Additional epochs to confirm the best."""


class CalibratedTrial(Config):
    """How fast one configuration trains here."""

    kind: Literal["default", "smallest", "largest", "sampled"]
    params: dict[str, Any]
    seconds_per_epoch: float | None = None
    """One pass over all training and all validation images; None if it cannot be trained."""
    failed: str | None = None
    """Why it cannot be trained."""


class Seconds(Config):
    """An estimate of time, in seconds."""

    low: float
    """If every trial were as fast as the fastest one measured."""
    expected: float
    """If trials were on average as fast as the default and the sampled configurations."""
    high: float
    """If every trial were as slow as the slowest one measured."""


class PlannedTime(Config):
    """What a study takes, from a few batches of some configurations."""

    samples: tuple[CalibratedTrial, ...]
    threads: int
    """Threads per trial."""
    concurrent: int
    """Trials that run at once."""
    seconds_per_epoch: Seconds
    """For one trial."""
    search: Seconds
    confirm: Seconds
    total: Seconds
    assumptions: tuple[str, ...]


class PlannedStage(Config):
    """One stage of a staged search."""

    stage: int
    """Counted from 1."""
    parameters: tuple[str, ...]
    """What varies."""
    searcher: str
    scheduler: str
    trials: int
    cardinality: int | Literal["continuous"]
    epochs: PlannedEpochs
    image_size: int | None
    train_fraction: float


class Plan(Config):
    """A study before it starts."""

    parameters: tuple[PlannedParameter, ...]
    cardinality: int | Literal["continuous"]
    """Exact number of configurations in the space."""
    samples: tuple[PlannedTrial, ...]
    measured: int
    """Number of configurations measured for `samples`, `infeasible_fraction` and `checkpoint_bytes`."""
    infeasible_fraction: float
    """Share of the measured configurations that cannot be built."""
    infeasible_reasons: dict[str, int]
    """Number of configurations by reason, most common first."""
    trials: int
    epochs: PlannedEpochs
    checkpoint_bytes: int
    """Upper bound on disk for checkpoints, as if every trial were the largest one measured."""
    stages: tuple[PlannedStage, ...] = ()
    """Stages of a staged search; the fields above then cover all stages."""
    time: PlannedTime | None = None
    """Only if requested, because it takes training."""


def make_plan(
    study: StudyConfig, image_shape: tuple[int, int, int], classes: int, *, concurrent: int = 1, samples: int = 100
) -> Plan:
    """Plan a study on images of `image_shape` (channels, height, width).

    Args:
        study: the study.
        image_shape: shape of one image.
        classes: number of classes.
        concurrent: trials that run at once; their checkpoints are all on disk.
        samples: configurations to draw and measure; a discrete space of at most this size is measured completely.
    """
    space = Space(study)
    size = Grid(space).size if space.is_discrete else None
    configurations = _draw(space, samples, size)
    feasibility = Feasibility(image_shape, classes)
    measured = list(_measured(study, feasibility, configurations))
    default = _measure_config(feasibility, study.base, space.values_of(study.base), "default")
    feasible = sorted((one for one in measured if one.infeasible is None), key=lambda one: one.parameters or 0)
    reasons = Counter(one.infeasible for one in measured if one.infeasible is not None)
    largest = max(one.parameters or 0 for one in [default, *feasible])
    return Plan(
        parameters=planned_parameters(space),
        cardinality="continuous" if size is None else size,
        samples=_shown(default, feasible, measured),
        measured=len(measured),
        infeasible_fraction=round(sum(reasons.values()) / len(measured), 4),
        infeasible_reasons=dict(reasons.most_common()),
        trials=min(study.search.trials, size) if size is not None else study.search.trials,
        epochs=_epochs(study, size),
        checkpoint_bytes=_checkpoint_bytes(study, largest, concurrent),
    )


def _draw(space: Space, samples: int, size: int | None) -> list[dict[str, Value]]:
    if size is not None and size <= samples:
        grid = Grid(space)
        return [grid[index] for index in range(size)]
    optuna_study = optuna.create_study(sampler=RandomSampler(seed=space.study.search.seed))
    return [space.suggest(optuna_study.ask()) for _ in range(samples)]


def _measured(
    study: StudyConfig, feasibility: Feasibility, configurations: Sequence[dict[str, Value]]
) -> Iterator[PlannedTrial]:
    """Measure the configurations; if the networks are very deep, only as many as take a few seconds."""
    layers = 0
    for index, values in enumerate(configurations):
        try:
            config = compose(study, values)
        except InfeasibleError as error:
            yield PlannedTrial(kind="sampled", params=values, infeasible=str(error))
            continue
        layers += _layers(config.model)
        if layers > _MAX_LAYERS and index >= _SHOWN:
            return
        yield _measure_config(feasibility, config, values, "sampled")


def _layers(model: ModelConfig) -> int:
    """Layers listed in the configuration, an attention block counting as four; networks without lists have few."""
    listed = sum(len(value) for _, value in model if isinstance(value, tuple))
    return 4 * listed * model.branches if isinstance(model, AttentionCnnConfig) else listed


def _measure_config(
    feasibility: Feasibility, config: TrialConfig, values: dict[str, Value], kind: Literal["default", "sampled"]
) -> PlannedTrial:
    try:
        size = feasibility.check(config)
    except InfeasibleError as error:
        return PlannedTrial(kind=kind, params=values, infeasible=str(error))
    # Weights, gradients, and at most two optimizer values per weight.
    memory = 4 * _FLOAT_BYTES * size["parameters"] + config.training.batch_size * size["activation_bytes"]
    return PlannedTrial(kind=kind, params=values, parameters=size["parameters"], macs=size["macs"], memory_bytes=memory)


def _shown(
    default: PlannedTrial, feasible: Sequence[PlannedTrial], measured: Sequence[PlannedTrial]
) -> tuple[PlannedTrial, ...]:
    """Default, smallest, largest, and a few more; `feasible` is sorted by size."""
    extremes: Iterator[PlannedTrial] = (
        one.model_copy(update={"kind": kind})
        for kind, one in zip(("smallest", "largest"), (feasible[0], feasible[-1]) if feasible else (), strict=False)
    )
    step = max(1, len(measured) // _SHOWN)
    return (default, *extremes, *measured[::step][:_SHOWN])


def planned_parameters(space: Space) -> tuple[PlannedParameter, ...]:
    """The parameters of a space, in the order of the study file."""
    return tuple(_parameter(space, path) for path in space.study.space)


def _parameter(space: Space, path: str) -> PlannedParameter:
    parameter: Parameter = space.study.space[path]
    values = space.domains[path].values
    count: int | Literal["continuous"] = "continuous" if values is None else len(values)
    return PlannedParameter(path=path, values=count, **parameter.model_dump())


def _epochs(study: StudyConfig, size: int | None) -> PlannedEpochs:
    search, confirm, longest = study.search, study.confirm, greatest_epochs(study)
    trials = search.trials if size is None else min(search.trials, size)
    limit = search.total_epochs or trials * longest
    average = expected_trial_epochs(study)
    return PlannedEpochs(
        a_trial=longest,
        rungs=rungs(study),
        most=min(limit, trials * longest),
        expected=None if average is None else min(limit, round(trials * average)),
        confirm=confirm.top * confirm.seeds * longest,
    )


def _checkpoint_bytes(study: StudyConfig, parameters: int, concurrent: int) -> int:
    """The best trials keep their weights; a running one has its best weights too, and up to three whole states."""
    weights = _FLOAT_BYTES * parameters
    state = 3 * weights  # with at most two optimizer values per weight
    return study.search.keep_checkpoints * weights + concurrent * (weights + 3 * state)

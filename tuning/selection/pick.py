"""Picking the champion: the best trial within limits of size and speed. It becomes the study's champion for good."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainables.config.base import Config
from trainables.data.training_data import TrainingData
from trainables.errors import InputError
from trainables.training.checkpoint import has_best
from tuning.selection.latency import measure_latency
from tuning.selection.pareto import Size, trade_offs
from tuning.selection.registration import load_classifier, register_champion
from tuning.selection.study_data import images_of
from tuning.storage.journal import ChampionPicked
from tuning.storage.lock import study_lock
from tuning.storage.observer import Observer
from tuning.storage.paths import StudyFolder
from tuning.storage.record import StudyRecord, TrialRecord
from tuning.storage.recorder import Recorder
from tuning.storage.study_state import read_record
from tuning.tracking.mirror import Mirror


@dataclass(frozen=True)
class Limits:
    """What a champion may cost at most; None: anything."""

    parameters: float | None = None
    macs: float | None = None
    """Multiply-accumulates for one image."""
    latency_s: float | None = None
    """For one image on this machine, in seconds, as `tuning.selection.latency` measures it."""

    @property
    def sizes(self) -> dict[Size, float]:
        """The limits of size that were given."""
        limits: dict[Size, float | None] = {"parameters": self.parameters, "macs": self.macs}
        return {size: limit for size, limit in limits.items() if limit is not None}

    def __str__(self) -> str:
        said = [f"{limit:,.0f} {size}" for size, limit in self.sizes.items()]
        said += [milliseconds(self.latency_s)] if self.latency_s is not None else []
        return f"at most {' and '.join(said)}"


class Picked(Config):
    """What was picked. These names are an interface: other programs rely on them."""

    study: str
    trial: int
    """The champion from now on."""
    objective: str
    value: float
    """Of the objective, at the trial's best epoch."""
    size: dict[str, int]
    """`parameters`, `macs`, `activation_bytes` of the model, for one image."""
    limits: str
    """What was asked for, in words."""
    latency_s: dict[int, float]
    """Trial number to the measured time for one image, in the order in which they were measured; the last is the
    champion's. Empty where no limit asked for it."""
    unavailable: tuple[int, ...]
    """Better trials within the limits of size whose weights were not kept."""
    model_uri: str
    """In MLflow's registry, alias `champion`."""


def pick_champion(folder: StudyFolder, limits: Limits, tracking_uri: str, observer: Observer) -> Picked:
    """Make the best trial within the limits whose weights are still there the champion, and register its model.

    Raises:
        InputError: a driver works on the study, no trial is within the limits, or none of those has its weights;
            or the images have changed since the study began.
        NotRegisteredError: it is picked, but MLflow did not take its model; picking it again or `resume` finishes that.
    """
    with study_lock(folder):
        record = read_record(folder.journal)
        within = trials_within(record, limits)
        available = [trial for trial in within if has_best(folder.trial_checkpoints(trial.number))]
        if not available:
            raise InputError(_no_weights(record, limits, within))
        observer.phase("reading images")
        data = images_of(record, available[0], observer)
        latencies = (
            _measure(folder, available, limits.latency_s, data, observer) if limits.latency_s is not None else {}
        )
        trial = available[max(0, len(latencies) - 1)]
        model_uri = _make_champion(folder, trial, limits, data, tracking_uri, observer)
    best = trial.best_metrics(record.config.search.ranking) or {}
    return Picked(
        study=folder.name,
        trial=trial.number,
        objective=record.config.search.objective,
        value=best[record.config.search.objective],
        size=trial.size,
        limits=str(limits),
        latency_s=latencies,
        unavailable=tuple(one.number for one in within[: within.index(trial)] if one not in available),
        model_uri=model_uri,
    )


def trials_within(record: StudyRecord, limits: Limits) -> list[TrialRecord]:
    """The trials within the limits of size, the best first; of equally good ones the smallest first.

    Raises:
        InputError: there is none; with the smallest there is.
    """
    sizes = limits.sizes
    found = [
        trial
        for trial in _by_preference(record)
        if all(size in trial.size and trial.size[size] <= limit for size, limit in sizes.items())
    ]
    if not found:
        raise InputError(f"no trial has {Limits(limits.parameters, limits.macs)}; {_smallest(record, list(sizes))}")
    return found


def milliseconds(seconds: float) -> str:
    """A latency for people."""
    return f"{1000 * seconds:.3g} ms"


def _by_preference(record: StudyRecord) -> list[TrialRecord]:
    """As ranked; equal values in the objective by the second objective, so that the first is in the Pareto set."""
    objective, second = record.config.search.ranking, record.config.search.second_objective
    if second is None:
        return record.ranked

    def preference(trial: TrialRecord) -> tuple[float, float]:
        metrics = trial.best_metrics(objective)
        assert metrics is not None, "a trial without an epoch is not ranked"
        return -objective.rank(metrics)[0], trial.size.get(second, float("inf"))

    return sorted(record.ranked, key=preference)


def _smallest(record: StudyRecord, sizes: Sequence[Size]) -> str:
    if not record.ranked:
        return "no trial of the study has reached a result"
    smallest = {size: trade_offs(record, size)[:1] for size in sizes}
    said = [f"{one.size[size]:,} {size} (trial {one.number})" for size, found in smallest.items() for one in found]
    return f"the smallest has {' and '.join(said)}" if said else "the size of no trial is known"


def _no_weights(record: StudyRecord, limits: Limits, within: Sequence[TrialRecord]) -> str:
    numbers = ", ".join(str(trial.number) for trial in within)
    kept = record.config.search.keep_checkpoints
    return (
        f"trial {numbers}: within the limits ({limits}), but the weights were not kept: search.keep_checkpoints is "
        f"{kept}, so only those of the {kept} best trials are. Run the study under another name with more, or with "
        "search.second_objective, which keeps those of every best trade-off"
    )


def _measure(
    folder: StudyFolder, trials: Sequence[TrialRecord], limit_s: float, data: TrainingData, observer: Observer
) -> dict[int, float]:
    """Latency by trial, in order, up to the first that is fast enough.

    Raises:
        InputError: none is fast enough; with the fastest there is.
    """
    measured: dict[int, float] = {}
    for trial in trials:
        observer.phase(f"measuring trial {trial.number}")
        model = load_classifier(folder, trial.number, trial.config, data)
        measured[trial.number] = measure_latency(model, data.image_shape)
        if measured[trial.number] <= limit_s:
            return measured
    number, fastest = min(measured.items(), key=lambda item: item[1])
    raise InputError(
        f"no trial whose weights were kept answers within {milliseconds(limit_s)}; the fastest of {len(measured)} "
        f"needs {milliseconds(fastest)} (trial {number}) for one image on one thread of this CPU"
    )


def _make_champion(
    folder: StudyFolder,
    trial: TrialRecord,
    limits: Limits,
    data: TrainingData,
    tracking_uri: str,
    observer: Observer,
) -> str:
    """Write the pick down, then register the model unless it is; its address in the registry."""
    with Recorder(folder, observer) as recorder:
        recorder.record(ChampionPicked(number=trial.number, reason=str(limits)))
        return register_champion(trial, data, Mirror(folder, tracking_uri), recorder, observer)

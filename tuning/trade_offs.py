"""The trials that no other beats in both accuracy and size, and the choice among them."""

from typing import Literal

from trainables.errors import InputError
from tuning.record import StudyRecord, TrialRecord

Size = Literal["parameters", "macs"]


def trade_offs(record: StudyRecord, size: Size) -> list[TrialRecord]:
    """The Pareto set of the study's objective and the model's `size`, smallest first.

    Every trial of it is better than all that are no larger; of equals the earlier is in it.
    """
    search = record.config.search
    sign = -1.0 if search.mode == "max" else 1.0
    points = [
        (sign * metrics[search.objective], trial.size[size], trial.number, trial)
        for trial in record.ranked
        if size in trial.size and (metrics := trial.best_metrics(search.ranking)) is not None
    ]
    found: list[TrialRecord] = []
    for _, smaller, _, trial in sorted(points, key=lambda point: point[:3]):
        if not found or smaller < found[-1].size[size]:
            found.append(trial)
    return found[::-1]


def pick(record: StudyRecord, *, max_parameters: float | None = None, max_macs: float | None = None) -> TrialRecord:
    """The best trial whose model is no larger than asked.

    Raises:
        InputError: none is that small; with the smallest there is.
    """
    limits: dict[Size, float | None] = {"parameters": max_parameters, "macs": max_macs}
    asked = {size: limit for size, limit in limits.items() if limit is not None}
    for trial in record.ranked:
        if all(size in trial.size and trial.size[size] <= limit for size, limit in asked.items()):
            return trial
    wanted = " and ".join(f"{limit:,.0f} {size}" for size, limit in asked.items())
    raise InputError(f"no trial has at most {wanted or 'any size'}; {_smallest(record, list(asked))}")


def _smallest(record: StudyRecord, sizes: list[Size]) -> str:
    smallest = {size: trade_offs(record, size)[:1] for size in sizes}
    said = [f"{one.size[size]:,} {size} (trial {one.number})" for size, found in smallest.items() for one in found]
    return f"the smallest has {', '.join(said)}" if said else "the study has no trial with a result yet"

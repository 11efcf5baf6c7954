"""The trials that no other beats in both accuracy and size."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from tuning.storage.record import StudyRecord, TrialRecord

Size = Literal["parameters", "macs"]


class Point(NamedTuple):
    """One trial between two objectives, both to be small."""

    cost: float
    """The study's objective, its sign turned where greater is better."""
    size: int
    number: int


def pareto(points: Iterable[Point]) -> list[int]:
    """Numbers of the points that no other beats, smallest size first.

    Every one has a lower cost than all that are no larger; of equals the lowest number is among them.
    """
    found: list[Point] = []
    for point in sorted(points):
        if not found or point.size < found[-1].size:
            found.append(point)
    return [point.number for point in reversed(found)]


def trade_offs(record: StudyRecord, size: Size) -> list[TrialRecord]:
    """The Pareto set of the study's objective and the model's `size`, smallest first."""
    objective = record.config.search.ranking
    trials = {trial.number: trial for trial in record.ranked if size in trial.size}
    points = [
        Point(-objective.rank(metrics)[0], trial.size[size], number)
        for number, trial in trials.items()
        if (metrics := trial.best_metrics(objective)) is not None
    ]
    return [trials[number] for number in pareto(points)]

"""What a staged search would do: the plans of its rounds, added up."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from search_spaces.schema import StudyConfig
from tuning.domains import Space
from tuning.plan import Plan, PlannedEpochs, PlannedStage, PlannedTime, PlannedTrial, Seconds, planned_parameters
from tuning.stages import Stage


def add_up(study: StudyConfig, stages: Sequence[Stage], plans: Sequence[Plan]) -> Plan:
    """The plan of the whole study from those of its rounds, in order.

    A round is planned as if the ones before it left everything as the study file has it: what they will find is not
    known.
    """
    measured = sum(plan.measured for plan in plans)
    reasons: Counter[str] = Counter()
    for plan in plans:
        reasons.update(plan.infeasible_reasons)
    return Plan(
        parameters=planned_parameters(Space(study)),
        cardinality=_cardinality(plans),
        samples=_samples(plans),
        measured=measured,
        infeasible_fraction=round(sum(reasons.values()) / measured, 4),
        infeasible_reasons=dict(reasons.most_common()),
        trials=sum(plan.trials for plan in plans),
        epochs=_epochs(plans),
        checkpoint_bytes=sum(plan.checkpoint_bytes for plan in plans),
        stages=tuple(_stage(stage, plan) for stage, plan in zip(stages, plans, strict=True)),
        time=_time([plan.time for plan in plans if plan.time is not None]),
    )


def _stage(stage: Stage, plan: Plan) -> PlannedStage:
    study = stage.study
    return PlannedStage(
        stage=stage.index + 1,
        parameters=tuple(study.space),
        searcher=study.search.searcher.name,
        scheduler=study.search.scheduler.name,
        trials=plan.trials,
        cardinality=plan.cardinality,
        epochs=plan.epochs.model_copy(update={"confirm": 0}),
        image_size=study.data.image_size,
        train_fraction=study.data.train_fraction,
    )


def _cardinality(plans: Sequence[Plan]) -> int | Literal["continuous"]:
    counts = [plan.cardinality for plan in plans if isinstance(plan.cardinality, int)]
    return sum(counts) if len(counts) == len(plans) else "continuous"


def _samples(plans: Sequence[Plan]) -> tuple[PlannedTrial, ...]:
    """The default, the smallest and largest of any round, and one drawn from each."""
    every = [trial for plan in plans for trial in plan.samples]
    smallest = [trial for trial in every if trial.kind == "smallest"]
    largest = [trial for trial in every if trial.kind == "largest"]
    drawn = [next((trial for trial in plan.samples if trial.kind == "sampled"), None) for plan in plans]
    return (
        *(trial for trial in plans[0].samples if trial.kind == "default"),
        *sorted(smallest, key=lambda trial: trial.parameters or 0)[:1],
        *sorted(largest, key=lambda trial: trial.parameters or 0)[-1:],
        *(trial for trial in drawn if trial is not None),
    )


def _epochs(plans: Sequence[Plan]) -> PlannedEpochs:
    expected = [plan.epochs.expected for plan in plans if plan.epochs.expected is not None]
    return PlannedEpochs(
        a_trial=max(plan.epochs.a_trial for plan in plans),
        rungs=(),
        most=sum(plan.epochs.most for plan in plans),
        expected=sum(expected) if len(expected) == len(plans) else None,
        confirm=plans[-1].epochs.confirm,
    )


def _time(times: Sequence[PlannedTime]) -> PlannedTime | None:
    """One after the other; the last round's images are those on which the best are confirmed."""
    if not times:
        return None
    last = times[-1]
    search = _sum([time.search for time in times])
    return last.model_copy(
        update={
            "samples": tuple(sample for time in times for sample in time.samples),
            "search": search,
            "total": _sum([search, last.confirm]),
            "assumptions": tuple(dict.fromkeys(assumption for time in times for assumption in time.assumptions)),
        }
    )


def _sum(spans: Sequence[Seconds]) -> Seconds:
    return Seconds(
        low=sum(span.low for span in spans),
        expected=sum(span.expected for span in spans),
        high=sum(span.high for span in spans),
    )

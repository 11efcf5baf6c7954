"""Plans a whole study: its search, or the sum of its stages."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from search_spaces.schema import StudyConfig
from trainables.config import DataConfig
from trainables.data.sources import DATASETS, image_format, open_training_part
from trainables.data.training_data import prepare_training_data
from tuning.execution.cluster import local_trials
from tuning.planning.calibration import calibrate
from tuning.planning.plan import (
    Plan,
    PlannedEpochs,
    PlannedStage,
    PlannedTime,
    PlannedTrial,
    Seconds,
    make_plan,
    planned_parameters,
)
from tuning.search.space import Space
from tuning.search.stages import Stage, make_stage, stage_count
from tuning.search.validation import check_search
from tuning.storage.observer import Observer


def plan_study(study: StudyConfig, observer: Observer | None = None) -> Plan:
    """Plan a study. Each stage is planned as if earlier stages changed nothing in the study file.

    Args:
        study: the study.
        observer: if given, the time is estimated too (`tuning.planning.calibration`), with progress reported to it.

    Raises:
        InputError: searcher, scheduler and space are incompatible, or no configuration can be trained.
        DataError: the images cannot be listed, or, to estimate the time, cannot be read.
    """
    check_search(study)
    stages = [make_stage(study, index) for index in range(stage_count(study))]
    samples = max(20, min(100, 500 // len(stages)))
    plans = [_plan_stage(stage.study, observer, samples) for stage in stages]
    return _added_up(study, stages, plans) if study.search.stages else plans[0]


def _plan_stage(study: StudyConfig, observer: Observer | None, samples: int) -> Plan:
    shape, classes = _images(study.data)
    concurrent = local_trials(study.resources)
    plan = make_plan(study, shape, classes, concurrent=concurrent, samples=samples)
    if observer is None:
        return plan
    observer.phase("reading images")
    data = prepare_training_data(study.data, observer.progress)
    observer.phase("calibrating")
    return plan.model_copy(update={"time": calibrate(study, plan, data, concurrent, observer.progress)})


def _images(config: DataConfig) -> tuple[tuple[int, int, int], int]:
    """Shape (channels, height, width) and number of classes; images are neither downloaded nor decoded."""
    wanted = image_format(config)
    classes = DATASETS[config.dataset].classes
    if classes is None:
        classes = len(open_training_part(config).listing.classes)
    return (wanted.channels, wanted.size, wanted.size), classes


def _added_up(study: StudyConfig, stages: Sequence[Stage], plans: Sequence[Plan]) -> Plan:
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
    """The default, the smallest and largest of any stage, and one drawn from each."""
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
    """Total time of the stages; the best are confirmed on the last stage's images."""
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

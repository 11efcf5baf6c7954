"""What a study found, as plain objects that print as JSON. Other programs rely on these names."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from trainables.config.base import Config
from tuning.search.stages import make_stage, stage_count
from tuning.selection.confirmation import confirmation, recommended
from tuning.selection.pareto import Size, trade_offs
from tuning.storage.journal import TrialState
from tuning.storage.record import StudyRecord, TrialRecord

StudyState = Literal["running", "finished", "interrupted", "failed"]


class TrialResult(Config):
    """One trial."""

    number: int
    source: Literal["search", "first", "confirm"]
    """Who proposed it: the searcher, the study file (the base configuration first), or `confirm`, which retrains."""
    state: TrialState
    reason: str
    """Why it was stopped, failed or infeasible; empty otherwise."""
    params: dict[str, Any]
    """Active parameters of the space: path to value."""
    value: float | None
    """The objective at its best epoch: what trials are ranked by. None before the first epoch."""
    best_epoch: int | None
    """Where that was, counted from 1; the weights kept are of this epoch."""
    metrics: dict[str, float]
    """As the trial's MLflow run shows them: the last epoch's, and `best_OBJECTIVE`, which equals `value`."""
    size: dict[str, int]
    """`parameters`, `macs`, `activation_bytes` of the model, for one image."""
    epochs: int
    """Epochs trained."""
    duration_s: float
    """Time on workers."""
    run_id: str | None
    """MLflow child run; None until it is written there."""
    stage: int = 1
    """Stage of a staged search, counted from 1."""
    node: str | None = None
    """Name of the host that trained it, the last one if there were several; None before its first epoch."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python, torch, torchvision, numpy, pillow and ray there."""


class StageResult(Config):
    """One stage of a staged search."""

    stage: int
    """Counted from 1."""
    parameters: tuple[str, ...]
    """What varied."""
    trials: int
    best: int | None
    """Number of its best trial, or of the earlier one it started from if none was better; None before any result."""


class ConfirmedResult(Config):
    """One of the best trials after its retraining with fresh seeds."""

    number: int
    seeds: int
    mean: float
    """Of the objective over the seeds; `interval` holds the true mean with 95 % confidence."""
    interval: tuple[float, float]
    tied: bool
    """The lead of the best over it may be chance; false for the best."""


class StudyResults(Config):
    """One study."""

    study: str
    state: StudyState
    reason: str
    """Why it ended; empty while it runs."""
    objective: str
    """The metric that the champion is best in."""
    mode: Literal["max", "min"]
    champion: TrialResult | None
    """The same object as in `trials`; None before a trial has been completed or stopped."""
    picked: str | None
    """What `tune-cli pick` asked of the champion, in words; None where nobody picked it."""
    trials: tuple[TrialResult, ...]
    """By number."""
    ranking: tuple[int, ...]
    """Numbers of the trials that were completed or stopped, the best first."""
    second_objective: Size | None
    """The size that is kept small at the same time."""
    pareto: tuple[int, ...]
    """Numbers of the trials that no other beats in both objectives, smallest first; empty with one objective."""
    stages: tuple[StageResult, ...]
    """Stages that have begun; empty without `search.stages`. Only trials on the latest stage's images are ranked."""
    confirmation: tuple[ConfirmedResult, ...]
    """Retrained trials by mean, the best first; empty where `confirm` was not asked for or is not done."""
    test: dict[str, Any] | None
    """The last report of the sealed test (`tuning.selection.holdout.TestReport`); None while it is sealed."""
    caveats: tuple[str, ...]
    """Why some of the record cannot be relied on: a repair of the journal, or lines without checksums."""

    def ranked(self) -> list[TrialResult]:
        """Trials in the order of `ranking`."""
        by_number = {trial.number: trial for trial in self.trials}
        return [by_number[number] for number in self.ranking]

    def counts(self) -> Counter[TrialState]:
        """How many trials are in each state."""
        return Counter(trial.state for trial in self.trials)


def study_results(record: StudyRecord, run_ids: Mapping[int, str], *, driver_died: bool = False) -> StudyResults:
    """Results of a study so far.

    Args:
        record: The study as its journal tells it.
        run_ids: Trial number to MLflow run; trials that are not in MLflow yet are left out.
        driver_died: The journal says `running`, but no driver is alive: the state is `interrupted`.
    """
    search = record.config.search
    trials = tuple(_trial_result(trial, record, run_ids.get(trial.number)) for trial in record.trials)
    champion = recommended(record)
    second = search.second_objective
    died = driver_died and record.state == "running"
    return StudyResults(
        study=record.config.name,
        state="interrupted" if died else record.state,
        reason="the driver died" if died else record.reason,
        objective=search.objective,
        mode=search.mode,
        champion=None if champion is None else next(trial for trial in trials if trial.number == champion.number),
        picked=None if record.picked is None else record.picked.reason,
        trials=trials,
        ranking=tuple(trial.number for trial in record.ranked),
        second_objective=second,
        pareto=tuple(trial.number for trial in trade_offs(record, second)) if second is not None else (),
        stages=_stage_results(record) if search.stages else (),
        confirmation=_confirmed_results(record),
        test=record.tests[-1].report if record.tests else None,
        caveats=record.caveats,
    )


def _stage_results(record: StudyRecord) -> tuple[StageResult, ...]:
    stages = (make_stage(record.config, index, record.trials) for index in range(stage_count(record.config)))
    return tuple(
        StageResult(
            stage=stage.number,
            parameters=tuple(stage.study.space),
            trials=len(stage.past),
            best=None if stage.best is None else stage.best.number,
        )
        for stage in stages
        if stage.past
    )


def _confirmed_results(record: StudyRecord) -> tuple[ConfirmedResult, ...]:
    found = confirmation(record)
    return tuple(
        ConfirmedResult(
            number=one.trial.number,
            seeds=len(one.values),
            mean=one.estimate.mean,
            interval=(one.estimate.low, one.estimate.high),
            tied=one.is_tied,
        )
        for one in (found.candidates if found is not None else ())
    )


def _trial_result(trial: TrialRecord, record: StudyRecord, run_id: str | None) -> TrialResult:
    search = record.config.search
    at_best = trial.best_metrics(search.ranking)
    value = None if at_best is None else at_best[search.objective]
    best = {} if value is None else {f"best_{search.objective}": value}
    return TrialResult(
        number=trial.number,
        source=trial.source,
        state=trial.state,
        reason=trial.reason,
        params=trial.params,
        value=value,
        best_epoch=search.ranking.best_epoch(trial.epochs),
        metrics={**trial.epochs[-1], **best} if trial.epochs else {},
        size=trial.size,
        epochs=len(trial.epochs),
        duration_s=trial.duration_s,
        run_id=run_id,
        stage=trial.stage,
        node=trial.host or None,
        versions=trial.versions,
    )

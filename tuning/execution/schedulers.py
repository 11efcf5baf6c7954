"""What to stop early: Ray Tune's schedulers, knowing trials by number and rebuilt from the record."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search_spaces.schema import StudyConfig
from search_spaces.search_options import AshaConfig, HyperbandConfig, MedianConfig, NoSchedulerConfig
from tuning.execution.ray_callbacks import Forgetting
from tuning.search.space import make_domain
from tuning.storage.record import TrialRecord

_NEVER = float("inf")


def make_scheduler(study: StudyConfig, past: Sequence[TrialRecord] = ()) -> "NumberedScheduler":
    """The scheduler that `search.scheduler` names, knowing what the trials of `past` reported."""
    scheduler = NumberedScheduler(study)
    searched = [trial for trial in past if trial.source != "confirm"]
    for trial in sorted(searched, key=lambda trial: (not trial.is_finished, trial.number)):
        scheduler.replay(trial)
    return scheduler


def never_stopping(study: StudyConfig) -> "NumberedScheduler":
    """A scheduler that lets every trial come to its last epoch."""
    search = study.search.model_copy(update={"scheduler": NoSchedulerConfig()})
    return NumberedScheduler(study.model_copy(update={"search": search}))


def greatest_epochs(study: StudyConfig) -> int:
    """Epochs of the longest trial; the space may vary them."""
    parameter = study.space.get("training.max_epochs")
    if parameter is None:
        return study.training.max_epochs
    values = make_domain("training.max_epochs", parameter).values or ()
    return max([study.training.max_epochs, *(value for value in values if isinstance(value, int))])


def rungs(study: StudyConfig) -> tuple[int, ...]:
    """Epochs at which the scheduler decides, before the last one."""
    options, last = study.search.scheduler, greatest_epochs(study)
    if isinstance(options, MedianConfig):
        return tuple(range(options.grace_epochs, last))
    if not isinstance(options, AshaConfig | HyperbandConfig):
        return ()
    epochs = [options.grace_epochs]
    while epochs[-1] * options.reduction_factor < last:
        epochs.append(epochs[-1] * options.reduction_factor)
    return tuple(epoch for epoch in epochs if epoch < last)


@dataclass(frozen=True)
class _Trial:
    """What Ray's schedulers need to know of a trial. Ray's own trial ids are new in every driver, numbers are not."""

    trial_id: str


class NumberedScheduler(FIFOScheduler):
    """One of Ray's schedulers that is told every epoch of every trial once, whichever driver ran it."""

    def __init__(self, study: StudyConfig) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as Ray left it
        self._objective = study.search.objective
        self._seed = study.search.seed
        self._rule = _make_rule(study)
        self._forgetting = Forgetting()
        self._epochs: dict[int, int] = {}
        self._over: set[int] = set()
        """Trials whose last epoch the rule knows: it has forgotten them."""
        self.overdue: set[int] = set()
        """Unfinished trials that were about to be stopped when their driver died."""

    def replay(self, trial: TrialRecord) -> None:
        """Take over a trial of an earlier driver."""
        self._add(trial.number)
        decision = TrialScheduler.CONTINUE
        for epoch, metrics in enumerate(trial.epochs, start=1):
            if epoch == trial.config.training.max_epochs:
                self._complete(trial.number, epoch, metrics)
                return
            decision = self._report(trial.number, epoch, metrics)
        if trial.is_finished:
            self._rule.on_trial_remove(None, _stand_in(trial.number))
        elif decision == TrialScheduler.STOP:
            self.overdue.add(trial.number)

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """No trial: none is ever paused, and Ray starts those that wait, in order, without being asked to.

        One named here would take the next free worker and call off the start of the worker that it waits for: seven
        seconds of processor time thrown away, and where trials are shorter than that the pool would never fill.
        """

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial is to run, for the first time or again."""
        self._add(trial.config["number"])
        if tune_controller is not None:  # a replay has none
            self._forgetting.sweep(tune_controller._tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Decide whether the trial goes on; epochs trained again after a fault are passed over."""
        number = trial.config["number"]
        if number in self.overdue:
            return str(TrialScheduler.STOP)
        if self._objective not in result or result["epoch"] <= self._epochs[number]:
            return str(TrialScheduler.CONTINUE)
        return self._report(number, result["epoch"], result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """The trial is over; Ray passes its last epoch here and not to `on_trial_result`."""
        number = trial.config["number"]
        self.overdue.discard(number)
        if number in self._over:  # its driver died between its last epoch and its end
            return
        if self._objective in result and result["epoch"] > self._epochs[number]:
            self._complete(number, result["epoch"], result)
        else:
            self._rule.on_trial_remove(tune_controller, _stand_in(number))

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """The trial is taken back before it ran on."""

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The trial's worker died; what it reported stays known."""

    def debug_string(self) -> str:
        """The rule's own words."""
        return str(self._rule.debug_string())

    def _add(self, number: int) -> None:
        if number not in self._epochs:
            self._epochs[number] = 0
            with _chance(self._seed, number):  # Hyperband draws the trial's bracket
                self._rule.on_trial_add(None, _stand_in(number))

    def _report(self, number: int, epoch: int, metrics: Mapping[str, Any]) -> str:
        self._epochs[number] = epoch
        return str(self._rule.on_trial_result(None, _stand_in(number), self._result(epoch, metrics)))

    def _complete(self, number: int, epoch: int, metrics: Mapping[str, Any]) -> None:
        self._epochs[number] = epoch
        self._over.add(number)
        self._rule.on_trial_complete(None, _stand_in(number), self._result(epoch, metrics))

    def _result(self, epoch: int, metrics: Mapping[str, Any]) -> dict[str, float]:
        return {"epoch": epoch, self._objective: metrics[self._objective]}


def _make_rule(study: StudyConfig) -> Any:
    options, last = study.search.scheduler, greatest_epochs(study)
    common: dict[str, Any] = {"time_attr": "epoch", "metric": study.search.objective, "mode": study.search.mode}
    if isinstance(options, AshaConfig | HyperbandConfig):
        brackets = min(options.brackets, len(rungs(study))) if isinstance(options, HyperbandConfig) else 1
        return AsyncHyperBandScheduler(
            **common,
            max_t=last,
            grace_period=min(options.grace_epochs, last),
            reduction_factor=options.reduction_factor,
            brackets=max(1, brackets),
        )
    if isinstance(options, MedianConfig):
        return MedianStoppingRule(
            **common,
            grace_period=options.grace_epochs,
            min_samples_required=options.min_trials,
            min_time_slice=_NEVER,  # type: ignore[arg-type]  # a paused trial would lose the epochs since its last checkpoint
        )
    return FIFOScheduler()


def _stand_in(number: int) -> _Trial:
    return _Trial(str(number))


@contextmanager
def _chance(*seed: int) -> Iterator[None]:
    """Ray's schedulers draw from numpy's global generator; here what they draw depends on `seed` alone."""
    before = np.random.get_state()
    np.random.seed(np.random.SeedSequence(seed).generate_state(1)[0])
    try:
        yield
    finally:
        np.random.set_state(before)

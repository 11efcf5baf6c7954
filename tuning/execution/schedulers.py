"""Early stopping: applies a study's stopping rule by trial number, and rebuilds it from the record."""

import logging
import statistics
from collections.abc import Sequence

from search_spaces.schema import StudyConfig
from search_spaces.search_options import AshaConfig, HyperbandConfig, MedianConfig
from tuning.execution.stopping_rules import (
    Hyperband,
    MedianStopping,
    NeverStop,
    StoppingRule,
    SuccessiveHalving,
    expected_epochs,
)
from tuning.search.space import make_domain
from tuning.storage.record import TrialRecord

logger = logging.getLogger(__name__)


class Scheduler:
    """Decides which trials end early. It sees every epoch of a trial once, whichever driver ran it."""

    def __init__(self, rule: StoppingRule, mode: str) -> None:
        """`mode` is `max` or `min`: whether larger or smaller objective values are better."""
        self._rule = rule
        self._sign = -1.0 if mode == "min" else 1.0
        self._epochs: dict[int, int] = {}
        """Last epoch reported to the rule, by trial."""
        self.overdue: set[int] = set()
        """Trials that the rule has stopped and that have not ended yet."""

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Note the objective after an epoch; True if the trial must stop. Known epochs change nothing."""
        if self._note(number, epoch, value) and self._rule.cutoff is not None:
            logger.info(
                "trial %d %s at epoch %d: value %.6g, cutoff %.6g (%s is better)",
                number,
                "stops" if number in self.overdue else "goes on",
                epoch,
                value,
                self._sign * self._rule.cutoff,
                "less" if self._sign < 0 else "more",
            )
        return number in self.overdue

    def _note(self, number: int, epoch: int, value: float) -> bool:
        """Pass the epoch to the rule; False if it is known already."""
        if epoch <= self._epochs.get(number, 0):
            return False
        self._epochs[number] = epoch
        if self._rule.report(number, epoch, self._sign * value):
            self.overdue.add(number)
        return True

    def end(self, number: int) -> None:
        """The trial has ended."""
        self.overdue.discard(number)

    def replay(self, trial: TrialRecord, metric: str) -> None:
        """Take over a trial of an earlier driver."""
        for epoch, metrics in enumerate(trial.epochs, start=1):
            self._note(trial.number, epoch, metrics[metric])
        if trial.is_finished or len(trial.epochs) == trial.config.training.max_epochs:
            self.end(trial.number)


def make_scheduler(study: StudyConfig, past: Sequence[TrialRecord] = ()) -> Scheduler:
    """The scheduler that `search.scheduler` names, with the reports of the trials in `past` replayed."""
    scheduler = Scheduler(_make_rule(study), study.search.mode)
    searched = [trial for trial in past if trial.source != "confirm"]
    for trial in sorted(searched, key=lambda trial: (not trial.is_finished, trial.number)):
        scheduler.replay(trial, study.search.objective)
    return scheduler


def never_stopping(study: StudyConfig) -> Scheduler:
    """A scheduler that stops no trial."""
    return Scheduler(NeverStop(), study.search.mode)


def greatest_epochs(study: StudyConfig) -> int:
    """Epochs of the longest trial; the space may vary them."""
    parameter = study.space.get("training.max_epochs")
    if parameter is None:
        return study.training.max_epochs
    values = make_domain("training.max_epochs", parameter).values or ()
    return max([study.training.max_epochs, *(value for value in values if isinstance(value, int))])


def rungs(study: StudyConfig) -> tuple[int, ...]:
    """Epochs at which the scheduler decides, before the last one; empty if it stops nothing."""
    options, last = study.search.scheduler, greatest_epochs(study)
    if isinstance(options, MedianConfig):
        return tuple(range(options.grace_epochs, last))
    if not isinstance(options, AshaConfig | HyperbandConfig):
        return ()
    epochs = []
    epoch = options.grace_epochs
    while epoch < last:
        epochs.append(epoch)
        epoch *= options.reduction_factor
    return tuple(epochs)


def expected_trial_epochs(study: StudyConfig) -> float | None:
    """Mean epochs per trial if each rung promotes its share; None if that cannot be predicted."""
    options, last = study.search.scheduler, greatest_epochs(study)
    decides = rungs(study)
    if not decides:
        return float(last)
    if isinstance(options, AshaConfig):
        return expected_epochs(decides, options.reduction_factor, last)
    if isinstance(options, HyperbandConfig):
        costs = Hyperband(decides, options.reduction_factor, options.brackets, last).costs
        return statistics.harmonic_mean(costs)  # equal budgets: a cheap bracket has more trials
    return None


def _make_rule(study: StudyConfig) -> StoppingRule:
    options = study.search.scheduler
    match options:
        case AshaConfig():
            return SuccessiveHalving(rungs(study), options.reduction_factor)
        case HyperbandConfig():
            return Hyperband(rungs(study), options.reduction_factor, options.brackets, greatest_epochs(study))
        case MedianConfig():
            return MedianStopping(options.grace_epochs, options.min_trials)
    return NeverStop()

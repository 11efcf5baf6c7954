"""Schedulers rebuilt from the record decide as those that saw everything."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import TrialScheduler

from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from tuning.execution.schedulers import NumberedScheduler, make_scheduler, rungs
from tuning.storage.record import TrialRecord

SCHEDULERS: list[Any] = ["asha", {"name": "hyperband", "brackets": 3}, {"name": "median", "min_trials": 2}, "none"]
MAX_EPOCHS = 9
CONTROLLER = SimpleNamespace(_tune_controller=SimpleNamespace(get_trials=list))
"""Ray Tune's own, without a trial to forget."""


@dataclass(frozen=True)
class RayTrial:
    """What of Ray's trials the scheduler looks at."""

    number: int
    trial_id: str = "a3f1"
    config: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", {"number": self.number})


def make_study(scheduler: Any, space: dict[str, Any] | None = None, **search: Any) -> StudyConfig:
    content = {
        "name": "s",
        "data": {"dataset": "digits"},
        "training": {"max_epochs": MAX_EPOCHS},
        "search": {"scheduler": scheduler, **search},
        "space": space or {"model.filters": {"choices": [1, 2]}},
    }
    return StudyConfig.model_validate(content)


def result(epoch: int, value: float) -> dict[str, Any]:
    return {"epoch": epoch, "val_accuracy": value, "outcome": "", "done": epoch == MAX_EPOCHS}


def run(scheduler: NumberedScheduler, number: int, curve: list[float], known: int = 0) -> list[float]:
    """Report a trial's curve, from the first epoch on as a continued trial does; the epochs that it reached."""
    trial = RayTrial(number)
    scheduler.on_trial_add(CONTROLLER, trial)
    epoch = 0
    for epoch, value in enumerate(curve, start=1):
        if epoch == MAX_EPOCHS:
            break  # Ray passes a last result to on_trial_complete alone
        if scheduler.on_trial_result(None, trial, result(epoch, value)) == TrialScheduler.STOP:
            break
    reached = max(epoch, known)
    scheduler.on_trial_complete(None, trial, result(epoch, curve[epoch - 1]))
    return curve[:reached]


def record(number: int, values: list[float], finished: bool = True) -> TrialRecord:
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}, "training": {"max_epochs": MAX_EPOCHS}})
    epochs = tuple({"val_accuracy": value} for value in values)
    state = "running" if not finished else "completed" if len(values) == MAX_EPOCHS else "stopped"
    return TrialRecord(number, "search", {}, config, str(number), {}, state, 0.0, epochs=epochs)


def cutoffs(scheduler: NumberedScheduler) -> list[str]:
    """The rule's state without the first line, which counts the stopped trials of this driver only."""
    return scheduler.debug_string().splitlines()[1:]


curves = st.lists(
    st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=MAX_EPOCHS, max_size=MAX_EPOCHS),
    min_size=2,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(scheduler=st.sampled_from(SCHEDULERS), curves=curves, data=st.data())
def test_a_rebuilt_scheduler_decides_as_one_that_saw_everything(scheduler: Any, curves: Any, data: Any) -> None:
    study = make_study(scheduler)
    whole = make_scheduler(study)
    reached = [run(whole, number, curve) for number, curve in enumerate(curves)]
    died_in = data.draw(st.integers(0, len(curves) - 1))
    known = data.draw(st.integers(0, len(reached[died_in])))
    past = [record(number, reached[number]) for number in range(died_in)]
    past.append(record(died_in, reached[died_in][:known], finished=False))
    rebuilt = make_scheduler(study, past)
    for number in range(died_in, len(curves)):
        before = known if number == died_in else 0
        assert run(rebuilt, number, curves[number], before) == reached[number]
    assert cutoffs(rebuilt) == cutoffs(whole)


def test_a_continued_trial_is_recorded_once_at_a_rung() -> None:
    study = make_study("asha")
    past = [record(0, [0.9, 0.9, 0.9]), record(1, [0.5], finished=False)]
    scheduler = make_scheduler(study, past)
    before = cutoffs(scheduler)
    scheduler.on_trial_add(CONTROLLER, RayTrial(1))
    scheduler.on_trial_result(None, RayTrial(1), result(1, 0.1))
    assert cutoffs(scheduler) == before


def test_a_decision_that_the_driver_did_not_live_to_carry_out_is_carried_out() -> None:
    past = [record(number, [0.9] * MAX_EPOCHS) for number in range(3)] + [record(3, [0.1], finished=False)]
    scheduler = make_scheduler(make_study("asha"), past)
    assert scheduler.overdue == {3}
    scheduler.on_trial_add(CONTROLLER, RayTrial(3))
    assert scheduler.on_trial_result(None, RayTrial(3), result(1, 0.1)) == TrialScheduler.STOP


def test_a_trial_whose_worker_died_keeps_its_bracket_and_what_it_reported() -> None:
    scheduler = make_scheduler(make_study({"name": "hyperband"}))
    trial = RayTrial(0)
    scheduler.on_trial_add(CONTROLLER, trial)
    scheduler.on_trial_result(None, trial, result(1, 0.5))
    before = scheduler.debug_string()
    scheduler.on_trial_error(None, trial)
    scheduler.on_trial_add(CONTROLLER, trial)
    scheduler.on_trial_result(None, trial, result(1, 0.5))
    assert scheduler.debug_string() == before


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_failed_trial_disturbs_no_other(scheduler: Any) -> None:
    rule = make_scheduler(make_study(scheduler))
    for number in range(5):
        run(rule, number, [0.5] * MAX_EPOCHS)
    rule.on_trial_add(CONTROLLER, RayTrial(5))
    rule.on_trial_complete(None, RayTrial(5), {"epoch": 0, "outcome": "failed", "done": True})
    assert len(run(rule, 6, [0.6] * MAX_EPOCHS)) == MAX_EPOCHS


def test_brackets_do_not_depend_on_numpys_global_generator() -> None:
    strings = []
    for seed in (1, 2):
        np.random.seed(seed)
        scheduler = make_scheduler(make_study({"name": "hyperband"}))
        for number in range(8):
            run(scheduler, number, [number / 10] * MAX_EPOCHS)
        strings.append(scheduler.debug_string())
    assert strings[0] == strings[1]


def test_rungs() -> None:
    assert rungs(make_study("asha")) == (1, 3)
    assert rungs(make_study({"name": "asha", "grace_epochs": 2, "reduction_factor": 2})) == (2, 4, 8)
    assert rungs(make_study("none")) == ()
    assert rungs(make_study({"name": "median", "grace_epochs": 7})) == (7, 8)
    longer = {"training.max_epochs": {"low": 5, "high": 30}}
    assert rungs(make_study("asha", longer)) == (1, 3, 9, 27)


def test_losses_are_minimised() -> None:
    scheduler = make_scheduler(make_study("asha", objective="val_loss"))
    decisions = []
    for number, loss in enumerate([0.1, 0.1, 0.1, 5.0]):
        trial = RayTrial(number)
        scheduler.on_trial_add(CONTROLLER, trial)
        decisions.append(scheduler.on_trial_result(None, trial, {"epoch": 1, "val_loss": loss}))
    assert decisions == ["CONTINUE"] * 3 + ["STOP"]

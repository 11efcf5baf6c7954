"""Schedulers rebuilt from the record decide as those that saw everything."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from tuning.execution.schedulers import Scheduler, expected_trial_epochs, make_scheduler, never_stopping, rungs
from tuning.storage.record import TrialRecord

SCHEDULERS: list[Any] = ["asha", {"name": "hyperband", "brackets": 3}, {"name": "median", "min_trials": 2}, "none"]
MAX_EPOCHS = 9


def make_study(scheduler: Any, space: dict[str, Any] | None = None, **search: Any) -> StudyConfig:
    content = {
        "name": "s",
        "data": {"dataset": "digits"},
        "training": {"max_epochs": MAX_EPOCHS},
        "search": {"scheduler": scheduler, **search},
        "space": space or {"model.filters": {"choices": [1, 2]}},
    }
    return StudyConfig.model_validate(content)


def run(scheduler: Scheduler, number: int, curve: list[float], known: int = 0) -> list[float]:
    """Report a trial's curve, from the first epoch on as a continued trial does; the epochs that it reached."""
    epoch = 0
    for epoch, value in enumerate(curve, start=1):
        if scheduler.report(number, epoch, value):
            break
    scheduler.end(number)
    return curve[: max(epoch, known)]


def record(number: int, values: list[float], finished: bool = True) -> TrialRecord:
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}, "training": {"max_epochs": MAX_EPOCHS}})
    epochs = tuple({"val_accuracy": value} for value in values)
    state = "running" if not finished else "completed" if len(values) == MAX_EPOCHS else "stopped"
    return TrialRecord(number, "search", {}, config, str(number), {}, state, 0.0, epochs=epochs)


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
    probe = [0.5] * MAX_EPOCHS
    assert run(rebuilt, len(curves), probe) == run(whole, len(curves), probe)


def test_a_continued_trial_counts_once_at_a_rung() -> None:
    study = make_study("asha")
    past = [record(0, [0.9, 0.9, 0.9]), record(1, [0.5], finished=False)]
    scheduler, untouched = make_scheduler(study, past), make_scheduler(study, past)
    scheduler.report(1, 1, 0.1)  # trained again after a fault, with another number
    assert [scheduler.report(2, 1, 0.7), scheduler.report(3, 1, 0.6)] == [
        untouched.report(2, 1, 0.7),
        untouched.report(3, 1, 0.6),
    ]


def test_a_decision_that_the_driver_did_not_live_to_carry_out_is_carried_out() -> None:
    past = [record(number, [0.9] * MAX_EPOCHS) for number in range(3)] + [record(3, [0.1], finished=False)]
    scheduler = make_scheduler(make_study("asha"), past)
    assert scheduler.overdue == {3}
    assert scheduler.report(3, 1, 0.1)
    scheduler.end(3)
    assert scheduler.overdue == set()


def test_a_trial_that_came_to_its_last_epoch_is_not_overdue() -> None:
    past = [record(number, [0.9] * MAX_EPOCHS) for number in range(3)]
    ended = record(3, [0.9, 0.9, 0.9, *[0.1] * 6], finished=False)
    assert make_scheduler(make_study({"name": "median"}), [*past, ended]).overdue == set()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_trial_that_ends_without_an_epoch_disturbs_no_other(scheduler: Any) -> None:
    rule = make_scheduler(make_study(scheduler))
    for number in range(5):
        run(rule, number, [0.5] * MAX_EPOCHS)
    rule.end(5)
    assert len(run(rule, 6, [0.6] * MAX_EPOCHS)) == MAX_EPOCHS


def test_rungs() -> None:
    assert rungs(make_study("asha")) == (1, 3)
    assert rungs(make_study({"name": "asha", "grace_epochs": 2, "reduction_factor": 2})) == (2, 4, 8)
    assert rungs(make_study("none")) == ()
    assert rungs(make_study({"name": "median", "grace_epochs": 7})) == (7, 8)
    longer = {"training.max_epochs": {"low": 5, "high": 30}}
    assert rungs(make_study("asha", longer)) == (1, 3, 9, 27)


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
@pytest.mark.parametrize("grace", [MAX_EPOCHS, MAX_EPOCHS + 5])
def test_a_grace_at_or_past_the_last_epoch_stops_nothing(name: str, grace: int) -> None:
    study = make_study({"name": name, "grace_epochs": grace})
    assert rungs(study) == ()
    assert expected_trial_epochs(study) == MAX_EPOCHS
    scheduler = make_scheduler(study)
    for number in range(8):
        assert len(run(scheduler, number, [1 - number / 10] * MAX_EPOCHS)) == MAX_EPOCHS


def test_epochs_that_a_trial_is_expected_to_take() -> None:
    assert expected_trial_epochs(make_study("none")) == MAX_EPOCHS
    assert expected_trial_epochs(make_study("asha")) == pytest.approx(1 + 2 / 3 + 6 / 9)
    assert expected_trial_epochs(make_study("median")) is None
    costs = [1 + 2 / 3 + 6 / 9, 3 + 6 / 3, 9]
    harmonic = 3 / sum(1 / cost for cost in costs)
    assert expected_trial_epochs(make_study({"name": "hyperband", "brackets": 9})) == pytest.approx(harmonic)


def test_losses_are_minimised() -> None:
    scheduler = make_scheduler(make_study("asha", objective="val_loss"))
    assert [scheduler.report(number, 1, loss) for number, loss in enumerate([0.1, 0.1, 0.1, 5.0])] == [
        False,
        False,
        False,
        True,
    ]


def test_a_retraining_is_never_stopped() -> None:
    scheduler = never_stopping(make_study("asha"))
    for number in range(8):
        assert len(run(scheduler, number, [1 - number / 10] * MAX_EPOCHS)) == MAX_EPOCHS


@pytest.mark.parametrize(("mode", "curve"), [("max", [0.5, 0.9, 0.4]), ("min", [0.5, 0.1, 0.6])])
def test_what_is_decided_is_logged_and_a_replay_is_not(
    mode: str, curve: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tuning")
    objective = "val_accuracy" if mode == "max" else "val_loss"
    study = make_study({"name": "asha", "grace_epochs": 1}, objective=objective)
    begun = replace(record(0, [], finished=False), epochs=({objective: curve[0]},))
    scheduler = make_scheduler(study, [begun])
    assert not caplog.records
    assert not scheduler.report(1, 1, curve[1])
    assert scheduler.report(2, 1, curve[2])
    assert not scheduler.report(3, 2, 0.0)  # no rung
    goes_on, stops = (entry.getMessage() for entry in caplog.records)
    assert goes_on.startswith(f"trial 1 goes on at epoch 1: value {curve[1]}, cutoff 0.5 ")
    assert stops.startswith(f"trial 2 stops at epoch 1: value {curve[2]}, cutoff ")

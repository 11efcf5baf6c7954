import json
from typing import Any

import pytest

from tuning.selection.results import StudyResults, study_results
from tuning.storage.journal import (
    ChampionPicked,
    EpochEnded,
    Event,
    StudyOpened,
    TrialFinished,
    TrialProposed,
    TrialState,
)
from tuning.storage.study_state import fold

_STUDY: dict[str, Any] = {
    "name": "s",
    "data": {"dataset": "digits"},
    "space": {"model.filters": {"choices": [8, 16]}},
}


def _trial(number: int, losses: list[float], state: TrialState | None = "completed") -> list[Event]:
    config = {"data": {"dataset": "digits"}}
    events: list[Event] = [
        TrialProposed(number=number, params={"model.filters": 8}, config=config, hash="h", size={"parameters": 9})
    ]
    for epoch, loss in enumerate(losses, 1):
        metrics = {"val_loss": loss, "val_accuracy": 1.0 - loss}
        events.append(EpochEnded(number=number, epoch=epoch, metrics=metrics))
    if state is not None:
        events.append(TrialFinished(number=number, state=state, reason="why", duration_s=2.5))
    return events


def _results(
    *trials: list[Event], driver_died: bool = False, confirm: dict[str, int] | None = None, **search: Any
) -> StudyResults:
    study = _STUDY | {"search": search, "confirm": confirm or {}}
    opened = StudyOpened(version="0", study=study, data_fingerprint="f", host="h", pid=1)
    events = [opened, *(event for trial in trials for event in trial)]
    return study_results(fold(events), {0: "run-0"}, driver_died=driver_died)


def test_a_trial_is_ranked_by_its_best_epoch_and_shows_its_last() -> None:
    (trial,) = _results(_trial(0, [0.5, 0.25, 0.375])).trials
    assert (trial.value, trial.best_epoch, trial.epochs) == (0.75, 2, 3)
    assert trial.metrics == {"val_loss": 0.375, "val_accuracy": 0.625, "best_val_accuracy": 0.75}
    assert (trial.run_id, trial.duration_s, trial.reason, trial.size) == ("run-0", 2.5, "why", {"parameters": 9})


def test_the_champion_is_one_of_the_trials() -> None:
    results = _results(_trial(0, [0.5]), _trial(1, [0.25], "stopped"), _trial(2, [0.1], "failed"))
    assert results.champion is results.trials[1]
    assert results.trials[1].run_id is None


@pytest.mark.parametrize(("objective", "order"), [("val_accuracy", [1, 0]), ("val_loss", [1, 0])])
def test_ranking_leaves_out_what_cannot_win(objective: str, order: list[int]) -> None:
    trials = [
        _trial(0, [0.5]),
        _trial(1, [0.25]),
        _trial(2, [0.1], "failed"),
        _trial(3, [0.25], None),
        _trial(4, [], "infeasible"),
    ]
    results = _results(*trials, objective=objective)
    assert [trial.number for trial in results.ranked()] == order == list(results.ranking)
    assert results.mode == ("max" if objective == "val_accuracy" else "min")
    assert results.counts() == {"completed": 2, "failed": 1, "infeasible": 1, "proposed": 1}


def test_a_study_whose_driver_died_is_interrupted() -> None:
    assert _results(_trial(0, [0.5])).state == "running"
    died = _results(_trial(0, [0.5]), driver_died=True)
    assert (died.state, died.reason) == ("interrupted", "the driver died")


def test_confirmed_trials_come_with_mean_interval_and_ties() -> None:
    def retrained(number: int, of: int, seed: int, loss: float) -> list[Event]:
        proposed, *rest = _trial(number, [loss])
        config = {
            "data": {"dataset": "digits"},
            "model": {"name": "cnn", "filters": 8 + of},
            "training": {"seed": seed},
        }
        params = {"model.filters": 8 + of}
        return [proposed.model_copy(update={"source": "confirm", "config": config, "params": params}), *rest]

    def searched(number: int, loss: float) -> list[Event]:
        proposed, *rest = _trial(number, [loss])
        config = {"data": {"dataset": "digits"}, "model": {"name": "cnn", "filters": 8 + number}}
        return [proposed.model_copy(update={"config": config, "params": {"model.filters": 8 + number}}), *rest]

    runs = [retrained(2, 0, 1, 0.3), retrained(3, 0, 2, 0.4), retrained(4, 1, 1, 0.2), retrained(5, 1, 2, 0.4)]
    results = _results(searched(0, 0.1), searched(1, 0.2), *runs, confirm={"top": 2, "seeds": 2})
    assert results.champion is results.trials[1]
    assert results.ranking == (0, 1)
    assert [(one.number, one.seeds, one.tied) for one in results.confirmation] == [(1, 2, False), (0, 2, True)]
    assert results.confirmation[0].mean == pytest.approx(0.7)
    assert results.confirmation[0].interval[0] < 0.7 < results.confirmation[0].interval[1]


def test_it_prints_as_json() -> None:
    results = _results(_trial(0, [0.5]), _trial(1, []))
    content = json.loads(results.model_dump_json())
    assert content["champion"] == content["trials"][0]
    assert content["trials"][1]["metrics"] == {}
    assert content["trials"][1]["value"] is None


def _sized(number: int, loss: float, parameters: int) -> list[Event]:
    proposed, *rest = _trial(number, [loss])
    return [proposed.model_copy(update={"size": {"parameters": parameters}}), *rest]


def test_with_a_second_objective_the_pareto_set_is_listed() -> None:
    trials = [_sized(0, 0.1, 90), _sized(1, 0.2, 10), _sized(2, 0.3, 20), _sized(3, 0.1, 80)]
    found = _results(*trials, second_objective="parameters", scheduler="none")
    assert (found.second_objective, found.pareto) == ("parameters", (1, 3))
    assert _results(*trials).pareto == ()


def test_a_pick_is_the_champion_whatever_comes_later() -> None:
    picked: list[Event] = [
        ChampionPicked(number=2, reason="at most 9 parameters"),
        ChampionPicked(number=1, reason="at most 50 parameters"),
    ]
    found = _results(_sized(0, 0.2, 90), _sized(1, 0.3, 10), _sized(2, 0.5, 5), picked, _sized(3, 0.1, 90))
    assert found.champion is found.trials[1]
    assert found.picked == "at most 50 parameters"
    assert found.ranking == (3, 0, 1, 2)

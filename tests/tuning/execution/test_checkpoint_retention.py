from pathlib import Path

import pytest

from search_spaces.schema import StudyConfig
from tuning.execution.checkpoint_retention import Retention
from tuning.storage.journal import ChampionPicked, Event, Journal, TrialProposed
from tuning.storage.paths import StudyFolder


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path, "s")
    _write(folder)
    return folder


def _write(folder: StudyFolder, *events: Event) -> None:
    journal = Journal(folder.journal)
    journal.append(*events)
    journal.close()


def _study(**search: object) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "s",
            "data": {"dataset": "digits"},
            "search": search,
            "space": {"model.filters": {"choices": [8, 16]}},
        }
    )


def _train(retention: Retention, folder: StudyFolder, number: int, value: float, state: str = "completed") -> None:
    checkpoints = folder.trial_checkpoints(number)
    checkpoints.mkdir(parents=True)
    for name in ("best.pt", "last.pt"):
        (checkpoints / name).write_text(name)
    retention.observe(number, {"val_accuracy": value, "val_loss": 1.0 - value})
    retention.finish(number, state)


def _kept(folder: StudyFolder) -> dict[int, list[str]]:
    return {
        int(path.name): sorted(file.name for file in path.iterdir()) for path in sorted(folder.checkpoints.iterdir())
    }


@pytest.mark.parametrize("objective", ["val_accuracy", "val_loss"])
def test_only_the_best_weights_of_the_best_trials_stay(folder: StudyFolder, objective: str) -> None:
    retention = Retention(_study(objective=objective), folder, [], keep=2)
    for number, value in enumerate([0.5, 0.9, 0.7, 0.9, 0.1]):
        _train(retention, folder, number, value)
    assert _kept(folder) == {1: ["best.pt"], 3: ["best.pt"]}


def test_failed_trials_leave_nothing_and_running_ones_everything(folder: StudyFolder) -> None:
    retention = Retention(_study(), folder, [], keep=2)
    _train(retention, folder, 0, 0.9, state="failed")
    running = folder.trial_checkpoints(1)
    running.mkdir(parents=True)
    (running / "last.pt").write_text("")
    _train(retention, folder, 2, 0.5, state="stopped")
    assert _kept(folder) == {1: ["last.pt"], 2: ["best.pt"]}


def _propose(folder: StudyFolder, number: int, parameters: int) -> None:
    _write(folder, TrialProposed(number=number, params={}, config={}, hash="h", size={"parameters": parameters}))


_TRIALS = [(0.5, 10), (0.9, 50), (0.95, 60), (0.4, 5), (0.6, 10), (0.9, 70), (0.6, 10)]
"""Accuracy and number of parameters. Nothing beats 1, 2, 3 and 4 in both."""


def test_with_two_objectives_every_best_trade_off_stays(folder: StudyFolder) -> None:
    retention = Retention(_study(second_objective="parameters", scheduler="none"), folder, [], keep=1)
    for number, (value, parameters) in enumerate(_TRIALS):
        _propose(folder, number, parameters)
        _train(retention, folder, number, value)
    assert list(_kept(folder)) == [1, 2, 3, 4]


def test_retrained_trials_keep_nothing_also_with_two_objectives(folder: StudyFolder) -> None:
    _propose(folder, 0, 10)
    retention = Retention(_study(second_objective="parameters", scheduler="none"), folder, [], keep=0)
    _train(retention, folder, 0, 0.9)
    assert _kept(folder) == {}


def test_a_picked_champion_stays_when_the_study_goes_on(folder: StudyFolder) -> None:
    for number, (_, parameters) in enumerate(_TRIALS):
        _propose(folder, number, parameters)
    _write(folder, ChampionPicked(number=1, reason="at most 50 parameters"))
    retention = Retention(_study(), folder, [], keep=2)
    for number, (value, _) in enumerate(_TRIALS):
        _train(retention, folder, number, value)
    assert list(_kept(folder)) == [1, 2]
    _train(retention, folder, 7, 0.99)
    _train(retention, folder, 8, 0.98)
    assert list(_kept(folder)) == [1, 7, 8]

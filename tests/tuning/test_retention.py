from pathlib import Path

import pytest

from search_spaces.schema import StudyConfig
from tuning.layout import StudyFolder
from tuning.retention import Retention


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path, "s")


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
    retention.finish(number, state)  # type: ignore[arg-type]


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

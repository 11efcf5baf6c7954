from pathlib import Path

import pytest
import torch

from trainables.config import DataConfig, TrialConfig
from trainables.data.training_data import open_test_data, prepare_training_data
from trainables.errors import InputError
from trainables.training.checkpoint import save_best
from trainables.training.loop import build_classifier
from tuning.selection import holdout
from tuning.storage.journal import EpochEnded, Journal, StudyEnded, StudyOpened, TrialFinished, TrialProposed
from tuning.storage.lock import study_lock
from tuning.storage.paths import StudyFolder
from tuning.storage.study_state import read_record

_CONFIG = TrialConfig.model_validate({"data": {"dataset": "digits"}, "model": {"name": "softmax_regression"}})


class _Watcher:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def phase(self, text: str) -> None: ...

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def progress(self, text: str, done: int, total: int) -> None: ...

    def study(self, record: object) -> None: ...

    def event(self, event: object) -> None: ...


def _write_study(storage: Path, fingerprint: str, *, ended: bool = True, trials: int = 1) -> StudyFolder:
    folder = StudyFolder(storage, "digits-softmax")
    study = {
        "name": folder.name,
        "data": {"dataset": "digits"},
        "model": {"name": "softmax_regression"},
        "space": {"optimizer.learning_rate": {"low": 1e-3, "high": 1e-2}},
    }
    journal = Journal(folder.journal)
    journal.append(StudyOpened(version="0", study=study, data_fingerprint=fingerprint, host="h", pid=1))
    for number in range(trials):
        config = _CONFIG.model_dump(mode="json")
        journal.append(
            TrialProposed(number=number, params={"optimizer.learning_rate": 0.001}, config=config, hash="h"),
            EpochEnded(number=number, epoch=1, metrics={"val_accuracy": 0.9, "val_loss": 0.3}),
            TrialFinished(number=number, state="completed"),
        )
    if ended:
        journal.append(StudyEnded(state="finished", reason="done"))
    journal.close()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """A finished study whose champion answers 0, whatever it is shown."""
    data = prepare_training_data(DataConfig(dataset="digits"))
    folder = _write_study(tmp_path, data.fingerprint)
    weights = build_classifier(_CONFIG, data).state_dict()
    for name in weights:
        if name.startswith("body"):
            weights[name] = torch.zeros_like(weights[name])
            if name.endswith("bias"):
                weights[name][0] = 1.0
    save_best(folder.trial_checkpoints(0), weights)
    return folder


def test_the_report_counts_the_sealed_images(folder: StudyFolder) -> None:
    report = holdout.test_champion(folder, _Watcher())
    labels = open_test_data(DataConfig(dataset="digits")).labels
    zeros = int((labels == 0).sum())
    assert (report.n, report.accuracy) == (len(labels), zeros / len(labels))
    assert report.per_class == {str(digit): float(digit == 0) for digit in range(10)}
    low, high = report.interval
    assert 0 < low < report.accuracy < high < 1
    assert (report.study, report.trial, report.openings) == ("digits-softmax", 0, 1)


def test_every_opening_is_in_the_journal_and_a_second_one_is_marked(folder: StudyFolder) -> None:
    watcher = _Watcher()
    first = holdout.test_champion(folder, watcher)
    assert watcher.warnings == []
    second = holdout.test_champion(folder, watcher)
    assert second == first.model_copy(update={"openings": 2})
    assert "opened before: 1 times" in watcher.warnings[0]
    record = read_record(folder.journal)
    assert [test.report for test in record.tests] == [report.model_dump(mode="json") for report in (first, second)]
    assert record.state == "finished"


def test_a_study_at_work_is_not_tested(folder: StudyFolder) -> None:
    with study_lock(folder), pytest.raises(InputError, match="is being worked on"):
        holdout.test_champion(folder, _Watcher())


def test_an_unfinished_study_is_tested_with_a_warning(folder: StudyFolder, tmp_path: Path) -> None:
    fingerprint = read_record(folder.journal).data_fingerprint
    folder.journal.unlink()
    _write_study(tmp_path, fingerprint, ended=False)
    watcher = _Watcher()
    assert holdout.test_champion(folder, watcher).openings == 1
    assert "not finished" in watcher.warnings[0]


@pytest.mark.parametrize(
    ("fingerprint", "trials", "message"),
    [("other", 1, "have changed"), (None, 0, "no champion"), (None, 1, "best weights cannot be read")],
)
def test_what_cannot_be_tested_is_refused_without_an_opening(
    fingerprint: str | None, trials: int, message: str, tmp_path: Path
) -> None:
    known = prepare_training_data(DataConfig(dataset="digits")).fingerprint
    folder = _write_study(tmp_path, fingerprint or known, trials=trials)
    with pytest.raises(InputError, match=message):
        holdout.test_champion(folder, _Watcher())
    assert read_record(folder.journal).tests == ()

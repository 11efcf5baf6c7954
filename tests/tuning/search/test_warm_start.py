from pathlib import Path
from typing import Any

import pytest

from search_spaces.schema import StudyConfig
from trainables.errors import InputError
from tuning.search.search import Search
from tuning.search.warm_start import warm_trials
from tuning.storage.journal import EpochEnded, Journal, StudyOpened, TrialFinished
from tuning.storage.paths import StudyFolder

RATE = {"low": 1e-4, "high": 1e-1, "log": True}
DROPOUT = {"low": 0.0, "high": 0.5}


def make_study(name: str, space: dict[str, Any], epochs: int = 5, **search: Any) -> StudyConfig:
    content = {"name": name, "data": {"dataset": "digits"}, "training": {"max_epochs": epochs}}
    return StudyConfig.model_validate(content | {"search": search, "space": space})


def write(storage: Path, study: StudyConfig, fingerprint: str = "f", trials: int = 40) -> None:
    """Run a study by formula: little dropout is good."""
    journal = Journal(StudyFolder(storage, study.name).journal)
    content = study.model_dump(mode="json", exclude_unset=True)
    journal.append(StudyOpened(version="0", study=content, data_fingerprint=fingerprint, host="h", pid=1))
    search = Search(study, fingerprint, lambda config: {})
    for _ in range(trials):
        proposal = search.ask()
        assert proposal.trial is not None
        journal.append(*proposal.events)
        value = 1.0 - proposal.trial.config["model"]["dropout"]
        metrics = {"val_accuracy": value, "val_loss": 1 - value}
        journal.append(EpochEnded(number=proposal.trial.number, epoch=1, metrics=metrics))
        journal.append(TrialFinished(number=proposal.trial.number, state="completed"))
        search.finish(proposal.trial.number, "failed")
    journal.close()


BEFORE = make_study("before", {"model.dropout": DROPOUT}, searcher="random", trials=40)


def test_the_searcher_knows_from_the_start_what_the_other_study_found(tmp_path: Path) -> None:
    write(tmp_path, BEFORE)
    study = make_study("now", {"model.dropout": DROPOUT, "optimizer.learning_rate": RATE}, warm_start="before")
    others = warm_trials(study, tmp_path, "f")
    assert len(others) == 40
    assert others[3].params.keys() == {"model.dropout", "optimizer.learning_rate"}
    search = Search(study, "f", lambda config: {}, transfer_trials=others)
    search.ask()  # the base
    proposed = [trial.params["model.dropout"] for _ in range(8) if (trial := search.ask().trial)]
    assert [trial.number for trial in [search.ask().trial] if trial] == [9]
    assert sum(proposed) / 8 < 0.12


def test_other_images_are_refused(tmp_path: Path) -> None:
    write(tmp_path, BEFORE, "g", trials=2)
    with pytest.raises(InputError, match=r"used other images \(fingerprint g, here f\)"):
        warm_trials(make_study("now", {"model.dropout": DROPOUT}, warm_start="before"), tmp_path, "f")


def test_trials_that_trained_otherwise_are_left_out_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, BEFORE, trials=2)
    study = make_study("now", {"model.dropout": DROPOUT}, epochs=9, warm_start="before")
    with pytest.raises(InputError, match="training.max_epochs was 5, here 9"):
        warm_trials(study, tmp_path, "f")


def test_values_outside_of_the_space_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, BEFORE)
    study = make_study("now", {"model.dropout": {"low": 0.1, "high": 0.2}}, warm_start="before")
    others = warm_trials(study, tmp_path, "f")
    assert 0 < len(others) < 40
    assert all(0.1 <= trial.params["model.dropout"] <= 0.2 for trial in others)
    narrow = make_study("now", {"model.dropout": {"choices": [0.77]}}, warm_start="before")
    with pytest.raises(InputError, match="their values are outside this space"):
        warm_trials(narrow, tmp_path, "f")


def test_an_unknown_study_is_refused_and_none_is_none(tmp_path: Path) -> None:
    study = make_study("now", {"model.dropout": DROPOUT}, warm_start="before")
    with pytest.raises(InputError, match="no study 'before'"):
        warm_trials(study, tmp_path, "f")
    assert warm_trials(BEFORE, tmp_path, "f") == ()

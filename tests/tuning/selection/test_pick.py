"""Picking, on a study whose journal and weights the test has written; MLflow and the clock are stood in for."""

from pathlib import Path
from typing import Any

import pytest

from trainables.config import DataConfig, TrialConfig
from trainables.data.training_data import prepare_training_data
from trainables.errors import InputError, StudyFailedError
from trainables.training.checkpoint import save_best
from trainables.training.loop import build_classifier
from tuning.preparation import StudyLocations
from tuning.selection import pick
from tuning.selection.confirmation import recommended
from tuning.selection.pick import Limits, Picked, pick_champion, trials_within
from tuning.storage.journal import (
    ChampionLogged,
    ChampionPicked,
    EpochEnded,
    Event,
    Journal,
    StudyEnded,
    StudyOpened,
    TrialFinished,
    TrialProposed,
    read_events,
)
from tuning.storage.lock import study_lock
from tuning.storage.observer import Silent
from tuning.storage.paths import StudyFolder
from tuning.storage.study_state import read_record
from tuning.study import resume_study
from tuning.tracking.mirror import Mirror
from tuning.tracking.mlflow_store import TrackingError

_CONFIG = TrialConfig.model_validate({"data": {"dataset": "digits"}, "model": {"name": "softmax_regression"}})
_TRIALS = [(0.7, 300), (0.9, 900), (0.8, 500), (0.5, 100), (0.8, 400)]
"""Accuracy, and parameters as the journal tells it; ten times as many macs."""
_URI = "sqlite:///nowhere.db"


def _write_study(storage: Path, fingerprint: str = "f", **search: Any) -> StudyFolder:
    folder = StudyFolder(storage, "s")
    study = {
        "name": "s",
        "data": {"dataset": "digits"},
        "model": {"name": "softmax_regression"},
        "search": {"trials": len(_TRIALS), **search},
        "space": {"optimizer.learning_rate": {"low": 1e-3, "high": 1e-2}},
    }
    events: list[Event] = [StudyOpened(version="0", study=study, data_fingerprint=fingerprint, host="h", pid=1)]
    for number, (accuracy, parameters) in enumerate(_TRIALS):
        size = {"parameters": parameters, "macs": 10 * parameters}
        config = _CONFIG.model_dump(mode="json")
        # The loss prefers trial 2 to trial 4, whose accuracy is the same.
        metrics = {"val_accuracy": accuracy, "val_loss": 1 - accuracy + number / 100}
        events += [
            TrialProposed(number=number, params={}, config=config, hash=str(number), size=size),
            EpochEnded(number=number, epoch=1, metrics=metrics),
            TrialFinished(number=number, state="completed"),
        ]
    events.append(StudyEnded(state="finished", reason="done"))
    journal = Journal(folder.journal)
    journal.append(*events)
    journal.close()
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A study that has the weights of trials 0, 2, 3 and 4; MLflow takes every model."""
    data = prepare_training_data(DataConfig(dataset="digits"))
    folder = _write_study(tmp_path, data.fingerprint)
    weights = build_classifier(_CONFIG, data).state_dict()
    for number in (0, 2, 3, 4):
        save_best(folder.trial_checkpoints(number), weights)

    def log(mirror: Mirror, number: int, *model: object) -> str:
        return f"models:/s/{number}"

    monkeypatch.setattr("tuning.selection.registration.log_champion", log)
    return folder


def _pick(folder: StudyFolder, limits: Limits) -> Picked:
    return pick_champion(folder, limits, _URI, Silent())


def test_the_best_within_all_limits_comes_first(tmp_path: Path) -> None:
    record = read_record(_write_study(tmp_path).journal)
    assert [trial.number for trial in trials_within(record, Limits(parameters=500))] == [2, 4, 0, 3]
    assert [trial.number for trial in trials_within(record, Limits(parameters=500, macs=3000))] == [0, 3]
    assert [trial.number for trial in trials_within(record, Limits(latency_s=1.0))] == [1, 2, 4, 0, 3]


def test_of_equally_good_trials_the_second_objective_decides(tmp_path: Path) -> None:
    record = read_record(_write_study(tmp_path, second_objective="parameters", scheduler="none").journal)
    assert [trial.number for trial in trials_within(record, Limits(parameters=500))] == [4, 2, 0, 3]


def test_the_pick_is_in_the_journal_and_the_champion_from_then_on(folder: StudyFolder) -> None:
    picked = _pick(folder, Limits(parameters=450))
    assert (picked.trial, picked.value, picked.size["parameters"]) == (4, 0.8, 400)
    assert (picked.latency_s, picked.unavailable) == ({}, ())
    assert (picked.limits, picked.model_uri) == ("at most 450 parameters", "models:/s/4")
    *_, event, logged = (event for event, _ in read_events(folder.journal))
    assert isinstance(event, ChampionPicked)
    assert isinstance(logged, ChampionLogged)
    record = read_record(folder.journal)
    champion = recommended(record)
    assert champion is not None
    assert champion.number == 4 == logged.number
    assert record.state == "finished"


def test_a_better_trial_without_weights_is_named(folder: StudyFolder) -> None:
    picked = _pick(folder, Limits(parameters=1000))
    assert (picked.trial, picked.unavailable) == (2, (1,))


def test_latency_is_measured_from_the_best_on_until_one_is_fast_enough(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.03, 0.011, 0.009, 0.001])
    monkeypatch.setattr(pick, "measure_latency", lambda model, shape: next(times))
    picked = _pick(folder, Limits(macs=1e9, latency_s=0.01))
    assert picked.latency_s == {2: 0.03, 4: 0.011, 0: 0.009}
    assert picked.trial == 0
    assert picked.limits == "at most 1,000,000,000 macs and 10 ms"


def test_picking_again_registers_nothing_twice(folder: StudyFolder) -> None:
    _pick(folder, Limits(parameters=450))
    assert _pick(folder, Limits(macs=4500)).model_uri == "models:/s/4"
    events = [event for event, _ in read_events(folder.journal)]
    assert [type(event) for event in events[-3:]] == [ChampionPicked, ChampionLogged, ChampionPicked]


def test_a_pick_that_mlflow_does_not_take_stands_and_can_be_repeated(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> str:
        raise TrackingError("it is down")

    with monkeypatch.context() as patched:
        patched.setattr("tuning.selection.registration.log_champion", refuse)
        with pytest.raises(StudyFailedError, match=r"trial 4 is the champion, but .* \(it is down\)"):
            _pick(folder, Limits(parameters=450))
    record = read_record(folder.journal)
    assert record.picked is not None
    assert record.champion_model is None
    assert _pick(folder, Limits(parameters=450)).model_uri == "models:/s/4"


def test_resume_registers_a_pick_that_mlflow_did_not_take(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> str:
        raise TrackingError("it is down")

    _pick(folder, Limits(parameters=500))  # trial 2 is registered
    with monkeypatch.context() as patched:
        patched.setattr("tuning.selection.registration.log_champion", refuse)
        with pytest.raises(StudyFailedError):
            _pick(folder, Limits(parameters=450))
    locations = StudyLocations(folder.storage, f"sqlite:///{folder.storage / 'mlflow.db'}")
    record = resume_study("s", locations, Silent())
    assert record.champion_model is not None
    assert record.champion_model.number == 4
    assert record.state == "finished"
    events = folder.journal.read_bytes()
    resume_study("s", locations, Silent())
    assert folder.journal.read_bytes() == events  # nothing is left to do


def test_a_study_goes_on_by_the_settings_it_is_given(folder: StudyFolder) -> None:
    _pick(folder, Limits(parameters=450))
    begun = read_record(folder.journal).config
    search = begun.search.model_copy(update={"patience": 2, "keep_checkpoints": 1})
    changed = begun.model_copy(update={"search": search})
    locations = StudyLocations(folder.storage, f"sqlite:///{folder.storage / 'mlflow.db'}")
    resume_study("s", locations, Silent(), changed=changed)
    assert read_record(folder.journal).config == changed


def test_no_trial_is_confirmed_whose_weights_are_gone(folder: StudyFolder) -> None:
    begun = read_record(folder.journal).config
    changed = begun.model_copy(update={"confirm": begun.confirm.model_copy(update={"top": 2})})
    locations = StudyLocations(folder.storage, f"sqlite:///{folder.storage / 'mlflow.db'}")
    with pytest.raises(
        InputError, match=r"confirm\.top: 2 .* weights of trial 1 were not kept .* 1 of them still have weights"
    ):
        resume_study("s", locations, Silent(), changed=changed)
    assert read_record(folder.journal).config == begun


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(parameters=50), r"at most 50 parameters; the smallest has 100 parameters \(trial 3\)"),
        (Limits(parameters=50, macs=1), r"at most 50 parameters and 1 macs; .* 1,000 macs \(trial 3\)"),
    ],
)
def test_nothing_small_enough_says_what_is_smallest(folder: StudyFolder, limits: Limits, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _pick(folder, limits)
    assert read_record(folder.journal).picked is None


def test_nothing_fast_enough_says_what_is_fastest(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.03, 0.02, 0.05, 0.04])
    monkeypatch.setattr(pick, "measure_latency", lambda model, shape: next(times))
    with pytest.raises(InputError, match=r"within 10 ms; the fastest of 4 needs 20 ms \(trial 4\)"):
        _pick(folder, Limits(latency_s=0.01))
    assert read_record(folder.journal).picked is None


def test_without_weights_the_message_says_how_to_keep_more(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trial 0, 3: within .* search.keep_checkpoints is 3"):
        _pick(_write_study(tmp_path), Limits(parameters=300))


def test_changed_images_are_refused(tmp_path: Path) -> None:
    folder = _write_study(tmp_path, "other images")
    save_best(folder.trial_checkpoints(3), {})
    with pytest.raises(InputError, match="have changed since it began"):
        _pick(folder, Limits(parameters=300))


def test_a_study_at_work_is_left_alone(folder: StudyFolder) -> None:
    with study_lock(folder), pytest.raises(InputError, match="is being worked on"):
        _pick(folder, Limits(parameters=450))

from trainables.config.objective import Objective
from tuning.storage.journal import (
    ChampionPicked,
    EpochEnded,
    Event,
    StudyEnded,
    StudyOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
)
from tuning.storage.study_state import fold

_STUDY = {"name": "s", "data": {"dataset": "digits"}, "space": {"model.filters": {"choices": [8, 16]}}}


def _opened(time: float) -> StudyOpened:
    return StudyOpened(time=time, version="0", study=_STUDY, data_fingerprint="f", host="h", pid=1)


def _proposed(number: int, time: float = 1.0) -> TrialProposed:
    config = {"data": {"dataset": "digits"}}
    return TrialProposed(time=time, number=number, params={"model.filters": 8}, config=config, hash=str(number))


def _epoch(number: int, epoch: int, accuracy: float, time: float = 2.0) -> EpochEnded:
    return EpochEnded(time=time, number=number, epoch=epoch, metrics={"val_accuracy": accuracy, "val_loss": 1.0})


def _events() -> list[Event]:
    return [
        _opened(0.0),
        _proposed(0),
        TrialStarted(number=0, time=1.5),
        _epoch(0, 1, 0.5),
        _epoch(0, 2, 0.7),
        _epoch(0, 3, 0.6),
        TrialFinished(number=0, state="completed", duration_s=3.0, time=3.0),
        _proposed(1),
        _epoch(1, 1, 0.7),
        TrialFinished(number=1, state="stopped", reason="asha at epoch 1", time=4.0),
        _proposed(2),
        _epoch(2, 1, 0.9, time=10.0),
    ]


def test_trials_carry_their_epochs_state_and_reason() -> None:
    record = fold(_events())
    assert [trial.state for trial in record.trials] == ["completed", "stopped", "proposed"]
    best = record.trials[0].best_metrics(Objective())
    assert best is not None
    assert best["val_accuracy"] == 0.7
    assert record.trials[1].reason == "asha at epoch 1"


def test_equal_trials_are_ranked_by_age_and_unfinished_ones_not_at_all() -> None:
    assert [trial.number for trial in fold(_events()).ranked] == [0, 1]


def test_an_epoch_that_comes_again_replaces_what_followed_it() -> None:
    record = fold([*_events(), _epoch(2, 2, 0.7), _epoch(2, 3, 0.6), _epoch(2, 2, 0.8), _epoch(2, 3, 0.6)])
    assert [epoch["val_accuracy"] for epoch in record.trials[2].epochs] == [0.9, 0.8, 0.6]


def test_search_time_adds_up_over_drivers_and_leaves_out_the_pause_between_them() -> None:
    record = fold([*_events(), _opened(1000.0), StudyEnded(state="finished", reason="done", time=1005.0)])
    assert record.search_seconds == 15.0
    assert (record.state, record.reason) == ("finished", "done")


def test_the_last_pick_counts_and_is_no_part_of_the_search() -> None:
    picks = [ChampionPicked(number=number, reason="small", time=500.0 + number) for number in (1, 0)]
    record = fold([*_events(), *picks])
    assert record.picked == picks[-1]
    assert record.search_seconds == 10.0
    assert fold(_events()).picked is None

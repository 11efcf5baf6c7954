import time

from cli.display.progress import StudyProgress
from tuning.storage.journal import TrialFinished, TrialStarted
from tuning.storage.study_state import fold


def _after(events) -> StudyProgress:
    progress = StudyProgress()
    for event in events:
        progress.event(event)
    return progress


def test_it_counts_what_the_record_counts(events) -> None:
    whole = events.whole_study()
    for length in range(1, len(whole) + 1):
        progress, record = _after(whole[:length]), fold(whole[:length])
        states = [trial.state for trial in record.trials]
        assert {state: n for state, n in progress.counts.items() if n} == {
            state: states.count(state) for state in states
        }
        if record.ranked and not any(trial.state == "running" for trial in record.trials):
            assert progress.leader is not None
            assert progress.leader.number == record.ranked[0].number


def test_the_leader_may_still_run_and_is_forgotten_when_it_fails(events) -> None:
    before = [events.opened(), *events.trial(0, [0.6], "completed")]
    running = events.trial(1, [0.9], None)
    progress = _after([*before, *running])
    assert (progress.leader.number, progress.leader.epoch, progress.leader.value) == (1, 1, 0.9)
    progress.event(TrialFinished(number=1, state="failed", reason="died"))
    assert progress.leader.number == 0


def test_a_loss_is_better_when_it_is_smaller(events) -> None:
    search = {"trials": 8, "objective": "val_loss"}
    progress = _after(
        [events.opened(search=search), *events.trial(0, [0.6], "completed"), *events.trial(1, [0.9], "completed")]
    )
    assert progress.leader.number == 1
    assert abs(progress.leader.value - 0.1) < 1e-12


def test_trials_of_a_dead_driver_wait_to_be_taken_up_again(events) -> None:
    progress = _after([events.opened(), *events.trial(0, [0.6], None), events.opened(time=500.0)])
    assert (progress.counts["running"], progress.counts["proposed"]) == (0, 1)
    progress.event(TrialStarted(number=0))
    assert progress.counts["running"] == 1


def test_elapsed_time_leaves_out_the_pause_between_drivers(events) -> None:
    progress = _after([events.opened(time=100.0), *events.trial(0, [0.6], None), events.opened(time=500.0)])
    assert progress.elapsed(now=510.0) == 3.0 + 10.0


def test_the_clock_stops_when_the_study_ends(events) -> None:
    progress = _after(events.whole_study())
    assert progress.elapsed(now=1000.0) == 100.0
    assert progress.remaining() is None
    progress.event(events.opened(time=2000.0))
    assert progress.elapsed(now=2001.0) == 101.0


def test_retrainings_of_the_best_are_counted_apart_and_never_lead(events) -> None:
    study = [events.opened(confirm={"top": 1, "seeds": 2}), *events.trial(0, [0.6, 0.6], "completed")]
    retrained = events.trial(1, [0.9, 0.9, 0.9, 0.9], "completed")
    progress = _after([*study, retrained[0].model_copy(update={"source": "confirm"}), *retrained[1:]])
    assert (progress.search.done, progress.search.wanted) == (1, 8)
    assert (progress.confirm.done, progress.confirm.wanted) == (1, 2)
    assert progress.leader.number == 0
    assert progress.remaining(now=110.0) == 7 * 2.0 + 1 * 4.0


def test_nothing_is_foretold_before_a_trial_has_finished(events) -> None:
    assert _after([events.opened(), *events.trial(0, [0.6], None)]).remaining() is None


def test_remaining_time_counts_what_is_left_over_those_that_run_at_once(events) -> None:
    # 8 trials wanted; one took 4 s; of the two that run one is half done: (8 - 1 - 0.5) * 4 s / 2 at once.
    under_way = [*events.trial(1, [0.1, 0.2], None), *events.trial(2, [], None)]
    progress = _after([events.opened(), *events.trial(0, [0.1, 0.2, 0.3, 0.4], "completed"), *under_way])
    assert progress.remaining(now=101.0) == 6.5 * 4 / 2


def test_the_time_budget_ends_it_earlier(events) -> None:
    search = {"trials": 1000, "time_budget": 60}
    progress = _after([events.opened(search=search), *events.trial(0, [0.1], "completed")])
    assert progress.remaining(now=130.0) == 30.0
    assert progress.remaining(now=500.0) == 0.0


def test_thousands_of_trials_cost_microseconds_an_event(events) -> None:
    progress = StudyProgress()
    progress.event(events.opened())
    trials = [event for number in range(5000) for event in events.trial(number, [0.1, 0.2], "completed")]
    began = time.process_time()
    for event in trials:
        progress.event(event)
    assert (time.process_time() - began) / len(trials) < 200e-6
    assert progress.search.done == 5000
    assert progress.open == {}


def test_what_is_taken_up_from_the_record_counts_as_event_by_event(events) -> None:
    whole = events.whole_study()
    for length in range(1, len(whole) + 1):
        told, taken_up = _after(whole[:length]), StudyProgress()
        taken_up.take_up(fold(whole[:length]))
        for progress in (told, taken_up):
            progress.event(events.opened(time=2000.0))
        assert +taken_up.counts == +told.counts
        assert (taken_up.leader, taken_up.open) == (told.leader, told.open)
        assert (taken_up.search, taken_up.confirm) == (told.search, told.confirm)
        assert taken_up.elapsed(now=2001.0) == told.elapsed(now=2001.0)

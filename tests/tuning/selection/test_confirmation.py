"""Confirming catches a lucky winner and keeps a real one."""

from typing import Any

import numpy as np
import pytest

from search_spaces.composition import compose
from search_spaces.schema import StudyConfig
from tuning.selection.confirmation import Confirming, candidates, confirmation, recommended, trials_to_confirm
from tuning.storage.journal import ChampionPicked, EpochEnded, Event, StudyOpened, TrialFinished, TrialProposed
from tuning.storage.record import StudyRecord
from tuning.storage.study_state import fold

NOISE = 0.004
"""Standard deviation over seeds."""


def make_study(**content: Any) -> StudyConfig:
    base = {
        "name": "s",
        "data": {"dataset": "digits"},
        "confirm": {"top": 4, "seeds": 5},
        "space": {"model.filters": {"low": 1, "high": 100}},
    }
    return StudyConfig.model_validate(base | content)


def result(number: int, value: float, state: str = "completed") -> list[Event]:
    epochs = [
        EpochEnded(number=number, epoch=e, metrics={"val_accuracy": v, "val_loss": 1 - v})
        for e, v in ((1, value / 2), (2, value))
    ]
    return [*epochs, TrialFinished(number=number, state=state)]


def searched(study: StudyConfig, truth: dict[int, float], noise: float, seed: int) -> list[Event]:
    """A search that tried each number of filters once; `truth` is its accuracy without noise."""
    random = np.random.default_rng(seed)
    content = study.model_dump(mode="json", exclude_unset=True)
    events: list[Event] = [StudyOpened(version="0", study=content, data_fingerprint="f", host="h", pid=1)]
    for number, (filters, accuracy) in enumerate(truth.items()):
        config = compose(study, {"model.filters": filters})
        events.append(
            TrialProposed(
                number=number,
                params={"model.filters": filters},
                config=config.model_dump(mode="json"),
                hash=config.canonical_hash("f"),
                size={"parameters": 1000 * filters},
            )
        )
        events += result(number, accuracy + random.normal(0, noise))
    return events


def confirmed(events: list[Event], truth: dict[int, float], noise: float, seed: int) -> StudyRecord:
    random = np.random.default_rng(1000 + seed)
    proposed = trials_to_confirm(fold(events))
    for trial in proposed:
        events = [*events, trial, *result(trial.number, truth[trial.params["model.filters"]] + random.normal(0, noise))]
    return fold(events)


def test_the_best_few_are_retrained_with_the_same_fresh_seeds() -> None:
    study, truth = make_study(), {filters: 0.9 + filters / 1000 for filters in range(1, 11)}
    events = searched(study, truth, 0.0, 0)
    proposed = trials_to_confirm(fold(events))
    assert [trial.number for trial in proposed] == list(range(10, 30))
    assert [trial.params["model.filters"] for trial in proposed[::5]] == [10, 9, 8, 7]
    assert [trial.config["training"]["seed"] for trial in proposed] == [1, 2, 3, 4, 5] * 4
    assert {trial.source for trial in proposed} == {"confirm"}
    assert len({trial.hash for trial in proposed}) == 20


def test_fresh_seeds_begin_anew_after_the_largest() -> None:
    study = make_study(training={"seed": 2**32 - 3})
    proposed = trials_to_confirm(fold(searched(study, dict.fromkeys(range(1, 11), 0.9), 0.0, 0)))
    assert [trial.config["training"]["seed"] for trial in proposed[:5]] == [2**32 - 2, 2**32 - 1, 0, 1, 2]


def test_what_is_retrained_already_is_not_asked_for_again() -> None:
    study, truth = make_study(), {filters: 0.9 + filters / 1000 for filters in range(1, 11)}
    events = searched(study, truth, 0.0, 0)
    first = trials_to_confirm(fold(events))
    some = [*events, first[0], *result(10, 0.9), first[7]]
    rest = trials_to_confirm(fold(some))
    assert [trial.hash for trial in rest] == [trial.hash for trial in first if trial not in (first[0], first[7])]
    assert trials_to_confirm(confirmed(events, truth, NOISE, 0)) == ()


def test_noise_alone_is_reported_as_a_tie() -> None:
    """The search's winner is lucky: all configurations are equally good."""
    truth = dict.fromkeys(range(1, 41), 0.95)
    all_tied = 0
    for seed in range(40):
        record = confirmed(searched(make_study(), truth, NOISE, seed), truth, NOISE, seed)
        outcome = confirmation(record)
        assert outcome is not None
        all_tied += sum(candidate.is_tied for candidate in outcome.candidates[1:]) == 3
        lucky = candidates(record)[0].epochs[-1]["val_accuracy"]
        assert outcome.champion.estimate.mean < lucky
    assert all_tied >= 36


def test_a_real_difference_is_found() -> None:
    truth = {1: 0.90, 2: 0.95, 3: 0.91, 4: 0.92}
    outcome = confirmation(confirmed(searched(make_study(), truth, NOISE, 3), truth, NOISE, 3))
    assert outcome is not None
    assert outcome.champion.trial.params == {"model.filters": 2}
    assert not any(candidate.is_tied for candidate in outcome.candidates[1:])
    behind = outcome.candidates[1].behind
    assert behind is not None
    assert behind.low < 0.03 < behind.high


def test_the_interval_of_an_accuracy_ends_at_one() -> None:
    study, truth = make_study(confirm={"top": 2, "seeds": 2}), {1: 0.97, 2: 0.98}
    outcome = confirmation(confirmed(searched(study, truth, NOISE, 5), truth, NOISE, 5))
    assert outcome is not None
    assert all(one.estimate.mean < one.estimate.high <= 1.0 for one in outcome.candidates)


def test_smaller_losses_are_better() -> None:
    study = make_study(search={"objective": "val_loss"}, confirm={"top": 2, "seeds": 2})
    content = study.model_dump(mode="json", exclude_unset=True)
    events: list[Event] = [StudyOpened(version="0", study=content, data_fingerprint="f", host="h", pid=1)]
    for number, loss in enumerate((0.5, 0.2, 0.3)):
        config = compose(study, {"model.filters": number + 1})
        hash_ = config.canonical_hash("f")
        params = {"model.filters": number + 1}
        events.append(TrialProposed(number=number, params=params, config=config.model_dump(mode="json"), hash=hash_))
        events.append(EpochEnded(number=number, epoch=1, metrics={"val_loss": loss}))
        events.append(TrialFinished(number=number, state="completed"))
    for trial, loss in zip(trials_to_confirm(fold(events)), (0.31, 0.33, 0.21, 0.22), strict=True):
        events.append(trial)
        events.append(EpochEnded(number=trial.number, epoch=1, metrics={"val_loss": loss}))
        events.append(TrialFinished(number=trial.number, state="completed"))
    outcome = confirmation(fold(events))
    assert outcome is not None
    assert outcome.champion.trial.number == 2
    assert outcome.candidates[1].behind is not None
    assert outcome.candidates[1].behind.mean == pytest.approx(0.105)


def test_a_candidate_that_fails_with_a_seed_cannot_win() -> None:
    truth = {1: 0.90, 2: 0.95, 3: 0.91, 4: 0.92}
    events = searched(make_study(), truth, 0.0, 0)
    for trial in trials_to_confirm(fold(events)):
        filters, seed = trial.params["model.filters"], trial.config["training"]["seed"]
        events += [trial, *result(trial.number, truth[filters], "failed" if (filters, seed) == (2, 1) else "completed")]
    outcome = confirmation(fold(events))
    assert outcome is not None
    assert outcome.champion.trial.params == {"model.filters": 4}
    assert [trial.params["model.filters"] for trial in outcome.unreliable] == [2]


def _is_result_of(number: int, event: Event) -> bool:
    return isinstance(event, EpochEnded | TrialFinished) and event.number == number


def test_the_recommendation_is_the_confirmed_champion_not_the_lucky_run() -> None:
    truth = {1: 0.90, 2: 0.95, 3: 0.91, 4: 0.92}
    events = [event for event in searched(make_study(), truth, 0.0, 0) if not _is_result_of(0, event)]
    events += result(0, 0.999)  # filters 1: a lucky run
    before = recommended(fold(events))
    assert before is not None
    assert before.number == 0
    after = recommended(confirmed(events, truth, NOISE, 0))
    assert after is not None
    assert after.params == {"model.filters": 2}


def test_the_retrainings_are_proposed_one_by_one() -> None:
    record = fold(searched(make_study(), {1: 0.9, 2: 0.95}, 0.0, 0))
    confirming, proposed = Confirming(record), []
    while confirming.finish_reason is None:
        proposal = confirming.ask()
        assert proposal.trial is not None
        assert proposal.events == (proposal.trial,)
        proposed.append(proposal.trial)
    assert tuple(trial.hash for trial in proposed) == tuple(trial.hash for trial in trials_to_confirm(record))
    assert confirming.ask().trial is None


def test_nothing_retrained_is_no_confirmation() -> None:
    truth = {1: 0.90, 2: 0.95}
    assert confirmation(fold(searched(make_study(), truth, 0.0, 0))) is None
    assert trials_to_confirm(fold(searched(make_study(confirm={"top": 0}), truth, 0.0, 0))) == ()


def test_a_pick_wins_over_the_confirmed_champion() -> None:
    truth = {1: 0.90, 2: 0.95, 3: 0.91, 4: 0.92}
    events = searched(make_study(), truth, 0.0, 0)
    assert confirmation(confirmed(events, truth, NOISE, 0)) is not None
    picked = recommended(confirmed([*events, ChampionPicked(number=2, reason="small")], truth, NOISE, 0))
    assert picked is not None
    assert picked.params == {"model.filters": 3}

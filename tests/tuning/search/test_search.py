"""The search over random spaces: what every proposal owes, and that a rebuilt search goes on as if nothing happened."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_spaces.composition import is_active, parameter_order
from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from trainables.errors import InfeasibleError
from tuning.search.search import Proposal, Search
from tuning.storage.journal import EpochEnded, Event, StudyOpened, TrialFinished, TrialProposed, TrialStarted
from tuning.storage.record import TrialRecord
from tuning.storage.study_state import fold

SPACE: dict[str, dict[str, Any]] = {
    "model.filters": {"choices": [4, 8, 16]},
    "model.dense_units": {"low": 16, "high": 64, "step": 16},
    "optimizer.name": {"choices": ["sgd", "adamw"]},
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "optimizer.momentum": {"low": 0.0, "high": 0.9, "step": 0.1, "when": {"optimizer.name": "sgd"}},
}


def make_study(space: dict[str, Any] | None = None, **search: Any) -> StudyConfig:
    content = {"name": "s", "data": {"dataset": "digits"}, "search": search, "space": space or SPACE}
    return StudyConfig.model_validate(content)


def feasible(config: TrialConfig) -> dict[str, int]:
    return {"parameters": 1}


def score(proposed: TrialProposed, epoch: int) -> float:
    """A smooth stand-in for training."""
    rate = proposed.config["optimizer"]["learning_rate"]
    return 1.0 - abs(rate - 0.01) - 0.3 / epoch - 0.001 * (int(proposed.hash[:2], 16) / 255)


class Driver:
    """Trains by formula and keeps the journal, one worker."""

    def __init__(self, study: StudyConfig, check: Any = feasible, events: Sequence[Event] = ()) -> None:
        self.study, self.check = study, check
        opened = StudyOpened(version="0", study=study.model_dump(mode="json"), data_fingerprint="f", host="h", pid=1)
        self.events: list[Event] = list(events) or [opened]
        self.search = Search(study, "f", check, self.trials())

    def trials(self) -> tuple[TrialRecord, ...]:
        return fold(self.events).trials

    def propose(self) -> TrialProposed | None:
        proposal: Proposal = self.search.ask()
        self.events += proposal.events
        return proposal.trial

    def train(self, trial: TrialProposed, epochs: int = 3) -> None:
        number = trial.number
        self.events.append(TrialStarted(number=number))
        for epoch in range(1, epochs + 1):
            metrics = {"val_accuracy": score(trial, epoch), "val_loss": 1.0 - score(trial, epoch)}
            self.events.append(EpochEnded(number=number, epoch=epoch, metrics=metrics))
            self.search.observe(number, epoch, metrics)
        state = ("completed", "stopped", "stopped", "failed")[number % 4]
        self.events.append(TrialFinished(number=number, state=state))
        self.search.finish(number, state)

    def run(self, limit: int = 10_000) -> list[TrialProposed]:
        done = []
        while len(done) < limit and (trial := self.propose()) is not None:
            self.train(trial)
            done.append(trial)
        return done


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """Random spaces with conditions, chains of them, lists, ranges with and without steps."""
    space: dict[str, Any] = {}
    optional = {
        "model.filters": st.sampled_from(
            [{"choices": [4, 8]}, {"low": 2, "high": 9}, {"low": 1, "high": 64, "log": True}]
        ),
        "model.batch_norm": st.just({"choices": [True, False]}),
        "model.dropout": st.sampled_from(
            [{"low": 0, "high": 0.5}, {"low": 0.0, "high": 0.5, "step": 0.1}, {"choices": [0.0, 0.3]}]
        ),
        "optimizer.learning_rate": st.sampled_from([{"low": 1e-4, "high": 0.1, "log": True}, {"choices": [0.1, 0.01]}]),
        "training.label_smoothing": st.just({"choices": [0.0, 0.1]}),
        "training.gradient_clip": st.just({"choices": [None, 1.0]}),
    }
    for path, parameters in optional.items():
        if draw(st.booleans()):
            space[path] = dict(draw(parameters))
    if draw(st.booleans()):
        space["model.name"] = {"choices": ["cnn", "fully_connected"]}
        space["model.hidden"] = {"choices": [[16], [16, 8], [32]], "when": {"model.name": "fully_connected"}}
        if "model.filters" in space:
            space["model.filters"]["when"] = {"model.name": "cnn"}
    if draw(st.booleans()):
        space["optimizer.name"] = {"choices": ["sgd", "rmsprop", "adamw"]}
        space["optimizer.momentum"] = {"choices": [0.0, 0.9], "when": {"optimizer.name": ["sgd", "rmsprop"]}}
        if draw(st.booleans()):
            # Reaches momentum 0 as well unless the chain says otherwise: not every combination is valid.
            condition = {"optimizer.name": "sgd"} | ({"optimizer.momentum": 0.9} if draw(st.booleans()) else {})
            space["optimizer.nesterov"] = {"choices": [True, False], "when": condition}
    return space or {"model.filters": {"choices": [4, 8, 16]}}


searchers = st.sampled_from(["tpe", {"name": "tpe", "startup_trials": 3}, "random"])
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(space=spaces(), searcher=searchers, seed=st.integers(0, 5))
def test_every_proposal_is_valid_new_and_free_of_inactive_parameters(space: Any, searcher: Any, seed: int) -> None:
    study = make_study(space, searcher=searcher, seed=seed, trials=15)
    driver = Driver(study)
    proposed = driver.run()
    assert len({trial.hash for trial in proposed}) == len(proposed)
    for trial in proposed:
        config = TrialConfig.model_validate(trial.config)
        assert config.canonical_hash("f") == trial.hash
        active = [path for path in parameter_order(study) if is_active(study, path, trial.params)]
        assert list(trial.params) == active
        for path, value in trial.params.items():
            section, _, field = path.partition(".")
            assert trial.config[section][field] == value
    assert driver.search.finish_reason is not None


@quick
@given(space=spaces(), searcher=searchers, died_after=st.integers(0, 11), unfinished=st.booleans())
def test_a_rebuilt_search_proposes_what_the_uninterrupted_one_does(
    space: Any, searcher: Any, died_after: int, unfinished: bool
) -> None:
    def check(config: TrialConfig) -> dict[str, int]:
        if config.training.label_smoothing and config.training.gradient_clip:
            raise InfeasibleError("no")
        return {}

    study = make_study(space, searcher=searcher, trials=12)
    uninterrupted = [trial.params for trial in Driver(study, check).run()]
    first = Driver(study, check)
    done = first.run(limit=died_after)
    last = first.propose() if unfinished else None
    second = Driver(study, check, first.events)
    if last is not None:
        second.train(last)
        done.append(last)
    assert [trial.params for trial in done + second.run()] == uninterrupted


def test_the_base_configuration_comes_first_then_the_listed_ones() -> None:
    listed = [{"model.filters": 8}, {"optimizer.name": "sgd", "optimizer.momentum": 0.5}, {"model.filters": 32}]
    proposed = Driver(make_study(first=listed, trials=6)).run()
    assert [trial.source for trial in proposed] == ["first", "first", "first", "search", "search", "search"]
    base = {"model.filters": 32, "model.dense_units": 128, "optimizer.name": "adamw", "optimizer.learning_rate": 0.001}
    assert proposed[0].params == base
    assert proposed[1].params == base | {"model.filters": 8}
    assert proposed[2].params["optimizer.momentum"] == 0.5


def test_infeasible_configurations_are_recorded_and_do_not_count() -> None:
    def check(config: TrialConfig) -> dict[str, int]:
        if getattr(config.model, "filters", 0) == 4:
            raise InfeasibleError("four is too few")
        return {"parameters": 7}

    driver = Driver(make_study(trials=12, searcher="random"), check)
    proposed = driver.run()
    trials = driver.trials()
    infeasible = [trial for trial in trials if trial.state == "infeasible"]
    assert len(proposed) == 12
    assert infeasible
    assert all(trial.reason == "four is too few" for trial in infeasible)
    assert [trial.number for trial in trials] == list(range(12 + len(infeasible)))
    assert all(trial.size == {"parameters": 7} for trial in trials if trial.state != "infeasible")


def test_tpe_learns_to_keep_away_from_the_infeasible() -> None:
    def check(config: TrialConfig) -> dict[str, int]:
        if getattr(config.model, "filters", 0) != 16:
            raise InfeasibleError("sixteen or nothing")
        return {}

    driver = Driver(make_study({**SPACE, "model.filters": {"choices": list(range(10, 20))}}, trials=30), check)
    driver.run()
    wasted = sum(trial.state == "infeasible" for trial in driver.trials())
    assert wasted < 60  # chance alone would waste about 270


def test_a_space_with_nothing_feasible_ends_the_search_with_the_commonest_reason() -> None:
    def check(config: TrialConfig) -> dict[str, int]:
        raise InfeasibleError("blocks" if getattr(config.model, "filters", 0) != 4 else "filters")

    driver = Driver(make_study(), check)
    assert driver.run() == []
    assert re.search(r"because: blocks.*tune-cli plan", driver.search.finish_reason or "")
    assert {trial.state for trial in driver.trials()} == {"infeasible"}  # all of them are on record
    assert len(driver.trials()) == 100


def test_a_discrete_space_is_tried_to_the_last_configuration() -> None:
    space = {path: parameter for path, parameter in SPACE.items() if path != "optimizer.learning_rate"}
    for searcher in ("tpe", "random", "grid"):
        driver = Driver(make_study(space, searcher=searcher, trials=1000))
        proposed = driver.run()
        inside = [trial for trial in proposed if trial.source == "search"]
        assert len(inside) == 3 * 4 * (10 + 1)
        assert driver.search.finish_reason == "no untried configuration is left"


def test_a_confirming_trial_is_known_but_not_learnt_from() -> None:
    driver = Driver(make_study(trials=5))
    proposed = driver.run(limit=2)
    confirming = proposed[1].model_copy(update={"number": 2, "source": "confirm", "hash": "other"})
    driver.events += [confirming, TrialFinished(number=2, state="completed")]
    rest = Driver(driver.study, events=driver.events).run()
    assert [trial.number for trial in rest] == [3, 4, 5]
    assert [trial.params for trial in rest] == [trial.params for trial in Driver(driver.study).run()[2:]]


@pytest.mark.parametrize(
    ("options", "reason", "epochs"),
    [
        ({"trials": 4}, "all 4 trials are done", 12),
        ({"total_epochs": 10}, "the budget of 10 epochs is spent", 12),
        ({"target": 0.5}, "val_accuracy has reached the target 0.5", 3),
        ({"patience": 3}, "no better val_accuracy in the last 3 finished trials", None),
    ],
)
def test_whatever_ends_the_search_is_said(options: dict[str, Any], reason: str, epochs: int | None) -> None:
    driver = Driver(make_study(**options))
    driver.run()
    assert driver.search.finish_reason == reason
    assert driver.search.stop_reason == (None if "trials" in options else reason)
    trained = sum(len(trial.epochs) for trial in driver.trials())
    assert epochs is None or trained == epochs
    assert Driver(driver.study, events=driver.events).search.finish_reason == reason


def test_a_trial_that_turns_out_infeasible_gives_its_place_back() -> None:
    driver = Driver(make_study(trials=2))
    driver.run()
    assert driver.search.finish_reason is not None
    before = [event for event in driver.events if not (isinstance(event, TrialFinished) and event.number == 1)]
    driver.events = [*before, TrialFinished(number=1, state="infeasible", reason="out of memory")]
    resumed = Driver(driver.study, events=driver.events)
    assert len(resumed.run()) == 1


@pytest.mark.parametrize("searcher", ["gp", "cma_es", "nsga2"])
def test_the_other_searchers_propose_and_rebuild(searcher: str) -> None:
    space = {
        "model.dropout": {"low": 0.0, "high": 0.5},
        "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "model.dense_units": {"low": 16, "high": 64, "step": 16},
    }
    options: dict[str, Any] = {"name": searcher}
    options |= {"gp": {"startup_trials": 4}, "cma_es": {"population": 4}, "nsga2": {"population": 4}}[searcher]
    study = make_study(space, searcher=options, trials=10)
    uninterrupted = [trial.params for trial in Driver(study).run()]
    first = Driver(study)
    done = first.run(limit=7)
    again = done + Driver(study, events=first.events).run()
    assert [trial.params for trial in again] == uninterrupted


def test_numbers_go_on_after_the_retrainings_which_the_search_does_not_see() -> None:
    """`resume --trials +N` of a study whose best trials were confirmed: no number is proposed twice."""
    study = make_study(trials=3)
    search = Search(study, "f", lambda config: {}, next_number=7)
    trial = search.ask().trial
    assert trial is not None
    assert trial.number == 7

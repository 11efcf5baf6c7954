"""Staged search: what a stage hands on to the next, and that stages see what they should."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from trainables.errors import InputError
from tuning.search.search import Search
from tuning.search.stages import Stage, make_stage, stage_count
from tuning.search.validation import check_search
from tuning.storage.journal import EpochEnded, Event, StudyOpened, TrialFinished, TrialProposed, TrialStarted
from tuning.storage.record import StudyRecord
from tuning.storage.study_state import fold

SPACE: dict[str, dict[str, Any]] = {
    "model.filters": {"choices": [4, 8, 16, 32]},
    "model.dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
    "optimizer.name": {"choices": ["sgd", "adamw"]},
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "optimizer.momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer.name": "sgd"}},
}
COARSE: dict[str, Any] = {
    "parameters": ["model.filters", "optimizer.name", "optimizer.learning_rate", "optimizer.momentum"],
    "searcher": "random",
    "trials": 8,
}
Score = Callable[[TrialConfig], float]


def make_study(*stages: dict[str, Any], **search: Any) -> StudyConfig:
    content = {
        "name": "s",
        "data": {"dataset": "digits"},
        "search": {"stages": stages, **search},
        "space": {path: SPACE[path] for path in SPACE if any(path in stage["parameters"] for stage in stages)},
    }
    return StudyConfig.model_validate(content)


def feasible(config: TrialConfig) -> dict[str, int]:
    return {"parameters": 1}


class StagedSearch:
    """Runs stage after stage by formula and keeps the journal."""

    def __init__(self, study: StudyConfig, score: Score) -> None:
        self.study, self.score = study, score
        opened = StudyOpened(version="0", study=study.model_dump(mode="json"), data_fingerprint="f", host="h", pid=1)
        self.events: list[Event] = [opened]

    @property
    def record(self) -> StudyRecord:
        return fold(self.events)

    def stage(self, index: int) -> Stage:
        return make_stage(self.study, index, self.record.trials)

    def run(self, index: int) -> list[TrialProposed]:
        stage, done = self.stage(index), []
        search = Search(
            stage.study,
            "f",
            feasible,
            stage.past,
            previous_stage_trials=stage.earlier,
            stage=stage.number,
            full_study=self.study,
        )
        while (proposal := search.ask()).trial is not None:
            trial = proposal.trial
            value = self.score(TrialConfig.model_validate(trial.config))
            metrics = {"val_accuracy": value, "val_loss": 1.0 - value}
            self.events += [
                *proposal.events,
                TrialStarted(number=trial.number),
                EpochEnded(number=trial.number, epoch=1, metrics=metrics),
                TrialFinished(number=trial.number, state="completed"),
            ]
            search.observe(trial.number, 1, metrics)
            search.finish(trial.number, "completed")
            done.append(trial)
        return done


def by_filters(config: TrialConfig) -> float:
    return {4: 0.1, 8: 0.6, 16: 0.8, 32: 0.7}[config.model.filters] - config.model.dropout / 10  # type: ignore[union-attr]  # a cnn


def test_search_without_stages_is_one_stage() -> None:
    study = StudyConfig.model_validate({"name": "s", "data": {"dataset": "digits"}, "space": SPACE})
    stage = make_stage(study, 0)
    assert stage_count(study) == 1
    assert (stage.study, stage.past, stage.earlier) == (study, (), ())


def test_best_of_a_stage_is_fixed_for_the_next() -> None:
    searched = StagedSearch(
        make_study(
            {"parameters": ["model.filters"], "searcher": "grid", "trials": 4},
            {"parameters": ["model.dropout"], "searcher": "grid", "trials": 10},
        ),
        by_filters,
    )
    first, second = searched.run(0), searched.run(1)
    assert [trial.number for trial in first + second] == list(range(4 + 5))  # dropout 0 with the best was trained
    assert {trial.stage for trial in first} == {1}
    assert {trial.stage for trial in second} == {2}
    assert {trial.config["model"]["filters"] for trial in second} == {16}
    assert all(trial.params["model.filters"] == 16 for trial in second)
    assert len({trial.hash for trial in first + second}) == 9
    best = searched.stage(1).best
    assert best is not None  # of the first stage: no dropout was better
    assert best.params == {"model.filters": 16, "model.dropout": 0.0}
    assert searched.record.ranked[0] == best


def test_stage_that_finds_nothing_better_hands_on_what_it_started_from() -> None:
    stages = [{"parameters": [path], "searcher": "grid", "trials": 4} for path in ("model.filters", "model.dropout")]
    searched = StagedSearch(
        make_study(*stages, {"parameters": ["optimizer.name"], "searcher": "grid", "trials": 2}), by_filters
    )
    for index in range(3):
        searched.run(index)
    last = [trial for trial in searched.record.trials if trial.stage == 3]
    assert [(trial.config.model.filters, trial.config.model.dropout) for trial in last] == [(16, 0.0)]  # type: ignore[union-attr]  # a cnn


def test_top_narrows_ranges_to_the_neighbours_of_the_best() -> None:
    stages = [COARSE | {"top": 2, "trials": 12}, {"parameters": [*COARSE["parameters"]], "trials": 5}]
    searched = StagedSearch(make_study(*stages), by_filters)
    searched.run(0)
    record = searched.record
    best = record.ranked[:2]
    narrow = searched.stage(1).study.space
    wide = searched.stage(0).study.space
    assert narrow["model.filters"].choices == [
        value for value in (4, 8, 16, 32) if value in [trial.params["model.filters"] for trial in best]
    ]
    rates = sorted(trial.params["optimizer.learning_rate"] for trial in record.trials)
    good = [trial.params["optimizer.learning_rate"] for trial in best]
    low, high = narrow["optimizer.learning_rate"].low, narrow["optimizer.learning_rate"].high
    assert low == max([rate for rate in rates if rate < min(good)], default=wide["optimizer.learning_rate"].low)
    assert high == min([rate for rate in rates if rate > max(good)], default=wide["optimizer.learning_rate"].high)
    for trial in searched.run(1):
        if trial.source == "search":
            assert low <= trial.params["optimizer.learning_rate"] <= high


def test_stages_on_other_images_are_no_rivals() -> None:
    small = {"parameters": ["model.filters"], "searcher": "grid", "trials": 4, "train_fraction": 0.25, "max_epochs": 2}
    searched = StagedSearch(
        make_study(small, {"parameters": ["model.dropout"], "searcher": "grid", "trials": 3}),
        lambda config: by_filters(config) + (0.15 if config.data.train_fraction < 1.0 else 0.0),
    )
    first = searched.run(0)
    assert {(trial.config["data"]["train_fraction"], trial.config["training"]["max_epochs"]) for trial in first} == {
        (0.25, 2)
    }
    assert searched.record.ranked[0].number == searched.stage(0).best.number  # type: ignore[union-attr]  # there is one
    second = searched.run(1)
    assert [trial.number for trial in searched.record.ranked] != []
    assert {trial.number for trial in searched.record.ranked} == {trial.number for trial in second}
    assert {trial.config["data"]["train_fraction"] for trial in second} == {1.0}
    assert second[0].params == {"model.filters": 16, "model.dropout": 0.0}  # the best again, on all images


def test_each_stage_has_its_own_searcher_budget_and_chance() -> None:
    study = make_study(
        COARSE | {"scheduler": "median"},
        {"parameters": ["model.dropout"], "trials": 5, "total_epochs": 9, "patience": 3},
        scheduler="hyperband",
        first=[{"model.filters": 8}],
        target=0.9,
    )
    first, second = (make_stage(study, index).study.search for index in range(2))
    assert (first.searcher.name, first.scheduler.name, first.trials) == ("random", "median", 8)
    assert (second.searcher.name, second.scheduler.name, second.trials) == ("tpe", "hyperband", 5)
    assert (first.total_epochs, second.total_epochs, second.patience) == (None, 9, 3)
    assert (len(first.first), len(second.first)) == (1, 0)
    assert first.seed != second.seed
    assert study.search.trials_in_all == 13


def test_grid_over_a_continuous_range_is_refused_by_the_stage() -> None:
    study = make_study({"parameters": ["optimizer.learning_rate"], "searcher": "grid", "trials": 4})
    with pytest.raises(
        InputError, match=r"search.stages\[0\]: space.optimizer.learning_rate: grid needs a finite set of values"
    ):
        check_search(study)


@st.composite
def staged(draw: st.DrawFn) -> StudyConfig:
    paths = draw(st.permutations(list(SPACE)))
    cut = draw(st.integers(1, len(paths) - 1))
    stages = [
        {
            "parameters": part,
            "trials": (trials := draw(st.integers(1, 8))),
            "searcher": draw(st.sampled_from(["random", "tpe"])),
            "top": draw(st.integers(1, trials)),
            **draw(st.sampled_from([{}, {"train_fraction": 0.5}])),
        }
        for part in (paths[:cut], paths[cut:], draw(st.sampled_from([paths, paths[:cut]])))
    ]
    return make_study(*stages, seed=draw(st.integers(0, 99)))


def _within(values: Mapping[str, Any], study: StudyConfig) -> bool:
    return all(study.space[path].has(value) for path, value in values.items() if path in study.space)


@settings(max_examples=40, deadline=None)
@given(study=staged(), salt=st.integers(0, 2**16))
def test_every_stage_keeps_to_its_own_and_repeats_nothing(study: StudyConfig, salt: int) -> None:
    def score(config: TrialConfig) -> float:
        return zlib.crc32(f"{salt}{config.model_dump_json()}".encode()) / 2**32

    searched = StagedSearch(study, score)
    for index in range(stage_count(study)):
        base = searched.stage(index).study
        for trial in searched.run(index):
            assert _within(trial.params, study) or trial.source == "first"
            if trial.source == "search":
                assert _within({path: trial.params[path] for path in base.space if path in trial.params}, base)
            assert ("optimizer.momentum" in trial.params) == (trial.config["optimizer"]["name"] == "sgd") or (
                "optimizer.momentum" not in study.space
            )
            for path, parameter in base.space.items():  # narrower, never wider
                assert parameter.low is None or parameter.low >= study.space[path].low
                assert parameter.high is None or parameter.high <= study.space[path].high
        assert searched.stage(index).study == base  # as an interrupted study would see it again
    hashes = [trial.hash for trial in searched.record.trials]
    assert len(hashes) == len(set(hashes))

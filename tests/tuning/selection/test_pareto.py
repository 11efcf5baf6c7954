from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from tuning.search.search import Search
from tuning.selection.pareto import trade_offs
from tuning.storage.record import StudyRecord, TrialRecord

STUDY: dict[str, Any] = {
    "name": "s",
    "data": {"dataset": "digits"},
    "space": {"model.filters": {"low": 1, "high": 64}, "model.dropout": {"low": 0.0, "high": 0.5}},
}


def record(results: list[tuple[float, int]]) -> StudyRecord:
    """A study with trials of these accuracies and numbers of parameters."""
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}})
    trials = tuple(
        TrialRecord(
            number=number,
            source="search",
            params={},
            config=config,
            hash=str(number),
            size={"parameters": parameters, "macs": 10 * parameters},
            state="completed",
            proposed_at=0.0,
            epochs=({"val_accuracy": accuracy, "val_loss": 1 - accuracy},),
        )
        for number, (accuracy, parameters) in enumerate(results)
    )
    return StudyRecord(StudyConfig.model_validate(STUDY), "f", "finished", "", (0.0,), trials)


@given(st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.integers(1, 6)), min_size=1, max_size=12))
def test_the_pareto_set_is_what_no_other_trial_beats(results: list[tuple[float, int]]) -> None:
    found = {results[trial.number] for trial in trade_offs(record(results), "parameters")}

    def beaten(one: tuple[float, int]) -> bool:
        return any(other != one and other[0] >= one[0] and other[1] <= one[1] for other in results)

    assert found == {one for one in results if not beaten(one)}


def test_the_pareto_set_is_smallest_first_and_holds_each_point_once() -> None:
    found = trade_offs(record([(0.9, 5), (0.9, 5), (0.5, 1), (0.8, 3)]), "macs")
    assert [trial.number for trial in found] == [2, 3, 0]


@pytest.mark.parametrize("searcher", [{"name": "nsga2", "population": 8}, "tpe"])
def test_a_search_with_two_objectives_finds_small_and_accurate_models(searcher: Any) -> None:
    options = {"searcher": searcher, "scheduler": "none", "second_objective": "parameters", "trials": 150}
    study = StudyConfig.model_validate(STUDY | {"search": options})
    search = Search(study, "f", lambda config: {"parameters": config.model.filters})
    dropouts = []
    while (trial := search.ask().trial) is not None:
        accuracy = trial.config["model"]["filters"] / 64 - trial.config["model"]["dropout"]
        search.observe(trial.number, 1, {"val_accuracy": accuracy})
        search.finish(trial.number, "failed" if trial.number == 5 else "completed")
        dropouts.append(trial.config["model"]["dropout"])
    # Dropout only harms, size is a matter of taste. Chance alone would give 0.25; nsga2 mutates half of the values.
    assert sum(dropouts[-100:]) / 100 < 0.21

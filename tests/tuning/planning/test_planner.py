"""The plan of a whole study: stages are planned one by one and added up."""

from search_spaces.schema import StudyConfig
from tuning.planning.planner import plan_study

_STAGED = {
    "name": "s",
    "data": {"dataset": "digits"},
    "model": {"name": "cnn", "blocks": 1, "filters": 4},
    "training": {"max_epochs": 3},
    "space": {"model.filters": {"choices": [2, 4, 8]}, "model.batch_norm": {"choices": [True, False]}},
}


def test_a_study_without_stages_has_one_plan() -> None:
    plan = plan_study(StudyConfig.model_validate(_STAGED | {"search": {"trials": 4}}))
    assert (plan.trials, plan.cardinality, plan.stages, plan.time) == (4, 6, (), None)


def test_stages_are_added_up() -> None:
    stages = [{"parameters": ["model.filters"], "trials": 3}, {"parameters": ["model.batch_norm"], "trials": 2}]
    plan = plan_study(StudyConfig.model_validate(_STAGED | {"search": {"stages": stages}}))
    assert [stage.stage for stage in plan.stages] == [1, 2]
    assert [stage.parameters for stage in plan.stages] == [("model.filters",), ("model.batch_norm",)]
    assert (plan.trials, plan.cardinality) == (5, 3 + 2)
    assert plan.epochs.most == sum(stage.epochs.most for stage in plan.stages)

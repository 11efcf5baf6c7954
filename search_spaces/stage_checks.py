"""Whether a staged search can be carried out: stages over parameters that exist, each with a budget of its own."""

from collections.abc import Collection, Iterator

from search_spaces.messages import KeyPath, KeyProblem, choose_from, nearest
from search_spaces.schema import StudyConfig

_ROUNDS_OWN = ("trials", "total_epochs", "patience")
"""Budgets that each stage has for itself."""


def check_stages(study: StudyConfig, unreadable: Collection[str] = ()) -> Iterator[KeyProblem]:
    """Yield every problem of `search.stages`; none where there are no stages.

    Args:
        study: the study as far as its schema could read it.
        unreadable: parameters of the space that the schema refused; naming them in a stage is no second problem.
    """
    search = study.search
    if not search.stages:
        return
    for name in _ROUNDS_OWN:
        if name in search.model_fields_set:
            yield KeyProblem(("search", name), "each stage has its own; give it in search.stages")
    if search.second_objective is not None:
        message = "a stage hands on its best trial, and with two objectives there is no best; leave one of the two out"
        yield KeyProblem(("search", "stages"), message)
    known = {*study.space, *unreadable}
    for index in range(len(search.stages)):
        yield from _stage_problems(study, index, known)
    staged = {path for stage in search.stages for path in stage.parameters}
    for path in study.space:
        if path not in staged:
            message = "varies in no stage; name it in one of search.stages, or set it in the base"
            yield KeyProblem(("space", path), message)


def _stage_problems(study: StudyConfig, index: int, known: Collection[str]) -> Iterator[KeyProblem]:
    stage, here = study.search.stages[index], ("search", "stages", index)
    for position, path in enumerate(stage.parameters):
        place: KeyPath = (*here, "parameters", position)
        if path not in known:
            near = nearest(path, known)
            advice = f"did you mean `{near}`?" if near else choose_from("", known).capitalize()
            yield KeyProblem(place, f"there is no parameter {path!r} in the space; {advice}")
        elif path in stage.parameters[:position]:
            yield KeyProblem(place, f"{path!r} is there twice; keep one")
    if stage.top > stage.trials:
        yield KeyProblem((*here, "top"), f"{stage.top} is more than the stage's trials, {stage.trials}")
    if stage.max_epochs is not None and "training.max_epochs" in stage.parameters:
        yield KeyProblem((*here, "max_epochs"), "training.max_epochs varies in this stage; leave one of the two out")

"""Checks that a staged search can run: its stages vary known parameters, and each has its own budget."""

from collections.abc import Collection, Iterator

from search_spaces.messages import KeyPath, KeyProblem, choose_from, nearest
from search_spaces.schema import StudyConfig

_ROUNDS_OWN = ("trials", "total_epochs", "patience")
"""Budgets that are set per stage."""


def check_stages(study: StudyConfig, unreadable: Collection[str] = ()) -> Iterator[KeyProblem]:
    """Yield every problem of `search.stages`; none if there are no stages.

    Args:
        study: the study as far as its schema could read it.
        unreadable: parameters of the space that the schema refused; a stage that names them is not a second problem.
    """
    search = study.search
    if not search.stages:
        return
    for name in _ROUNDS_OWN:
        if name in search.model_fields_set:
            yield KeyProblem(("search", name), "each stage has its own; give it in search.stages")
    if search.second_objective is not None:
        message = "a stage passes on its best trial, and two objectives have no single best; remove one of the two"
        yield KeyProblem(("search", "stages"), message)
    known = {*study.space, *unreadable}
    for index in range(len(search.stages)):
        yield from _stage_problems(study, index, known)
    staged = {path for stage in search.stages for path in stage.parameters}
    for path in study.space:
        if path not in staged:
            message = "does not vary in any stage; add it to one of search.stages, or set it in the base"
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
            yield KeyProblem(place, f"{path!r} is listed twice; keep one")
    if stage.top > stage.trials:
        yield KeyProblem((*here, "top"), f"{stage.top} is more than the stage's trials, {stage.trials}")
    if stage.max_epochs is not None and "training.max_epochs" in stage.parameters:
        yield KeyProblem((*here, "max_epochs"), "training.max_epochs varies in this stage; remove one of the two")

"""Checks that searcher, scheduler and space are compatible."""

from collections.abc import Iterator

from search_spaces.schema import StudyConfig
from search_spaces.search_options import CmaEsConfig, GpConfig, GridConfig, NoSchedulerConfig, RandomConfig
from trainables.errors import InputError
from tuning.search.grid import Grid
from tuning.search.space import Space
from tuning.search.stages import make_stage, stage_count


def check_search(study: StudyConfig) -> None:
    """Reject combinations that cannot work, before anything starts.

    Raises:
        InputError: all problems, one per line, each with a fix.
    """
    problems = list(_problems(study))
    if problems:
        raise InputError("\n".join(problems))


def _problems(study: StudyConfig) -> Iterator[str]:
    yield from _second_objective_problems(study)
    yield from _budget_problems(study)
    for index in range(stage_count(study)):
        stage = make_stage(study, index)
        space = Space(stage.study)
        for problem in (*_searcher_problems(space), *_counting_problems(space), *_stage_problems(stage.study)):
            yield f"search.stages[{index}]: {problem}" if study.search.stages else problem


def _searcher_problems(space: Space) -> Iterator[str]:
    match space.study.search.searcher:
        case GridConfig():
            for path, domain in space.domains.items():
                if domain.values is None:
                    yield f"space.{path}: grid needs a finite set of values; set step or choices, or use tpe"
        case GpConfig():
            yield from _conditional(space, "gp")
        case CmaEsConfig():
            yield from _conditional(space, "cma_es")
            yield from _not_numbers(space)


def _counting_problems(space: Space) -> Iterator[str]:
    """Every searcher counts a discrete space once it has nothing new to propose, too late to reject the study."""
    if space.is_discrete:
        try:
            Grid(space)
        except InputError as error:
            yield str(error)


def _conditional(space: Space, searcher: str) -> Iterator[str]:
    for path, parameter in space.study.space.items():
        if parameter.when:
            yield (
                f"space.{path}: has `when`, but {searcher} needs every parameter in every trial; use tpe, random or "
                "grid, or remove the condition"
            )


def _not_numbers(space: Space) -> Iterator[str]:
    numbers = 0
    for path, parameter in space.study.space.items():
        if parameter.choices is not None:
            yield f"space.{path}: has choices, but cma_es needs numeric ranges; set low and high, or use tpe"
        elif not space.domains[path].distribution.single():
            numbers += 1
    if numbers < 2:
        yield f"search.searcher: cma_es needs at least 2 numeric ranges, the space has {numbers}; use tpe or gp"


def _second_objective_problems(study: StudyConfig) -> Iterator[str]:
    search = study.search
    if search.second_objective is None:
        return
    if not isinstance(search.scheduler, NoSchedulerConfig):
        yield (
            f"search.scheduler: {search.scheduler.name} ranks trials by one objective, so with second_objective it "
            "would stop small models for being less accurate; set scheduler: none"
        )
    if isinstance(search.searcher, CmaEsConfig):
        yield "search.searcher: cma_es supports only one objective; use nsga2 or tpe with second_objective"


def _budget_problems(study: StudyConfig) -> Iterator[str]:
    trials, top = study.search.trials_in_all, study.confirm.top
    if top > trials:
        yield f"confirm.top: {top} is more than search.trials, {trials}; only search trials can be confirmed"


def _stage_problems(study: StudyConfig) -> Iterator[str]:
    trials, first = study.search.trials, len(study.search.first)
    if study.search.warm_start is not None and isinstance(study.search.searcher, GridConfig | RandomConfig):
        yield f"search.warm_start: {study.search.searcher.name} does not learn from trials; use tpe or remove it"
    if first + 1 > trials:
        yield (
            f"search.first: {first} configurations and the base make {first + 1} trials, search.trials is {trials}; "
            f"set it to at least {first + 1}"
        )

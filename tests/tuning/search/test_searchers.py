from typing import Any

import pytest

from search_spaces.schema import StudyConfig
from tuning.search.searchers import Draw, EvolutionSearcher, GridSearcher, ModelSearcher, Searcher, make_searcher
from tuning.search.space import Space

SPACE: dict[str, Any] = {
    "model.dropout": {"low": 0.0, "high": 1.0},
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
}


def make(searcher: Any, space: dict[str, Any] | None = None) -> Searcher:
    content = {"name": "s", "data": {"dataset": "digits"}, "search": {"searcher": searcher}, "space": space or SPACE}
    return make_searcher(Space(StudyConfig.model_validate(content)))


def values(dropout: float) -> Draw:
    return Draw({"model.dropout": dropout, "optimizer.learning_rate": 0.01})


def trained(searcher: Searcher) -> Searcher:
    """Twenty trials that the scheduler stopped at epoch 1, the better the less dropout."""
    for number in range(20):
        dropout = number / 20
        searcher.accept(number, values(dropout), seed=number)
        searcher.observe(number, 1, 1.0 - dropout)
        searcher.finish(number, "stopped", (1.0 - dropout,))
    return searcher


def mean_dropout(searcher: Searcher) -> float:
    draws = [searcher.draw(seed) for seed in range(20)]
    return sum(float(draw.values["model.dropout"]) for draw in draws if draw) / 20


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tpe", ModelSearcher),
        ("random", ModelSearcher),
        ("gp", ModelSearcher),
        ("cma_es", EvolutionSearcher),
        ("nsga2", EvolutionSearcher),
    ],
)
def test_every_name_has_its_searcher(name: str, kind: type) -> None:
    assert isinstance(make(name), kind)
    assert isinstance(make("grid", {"model.filters": {"choices": [1]}}), GridSearcher)


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_a_draw_depends_on_what_is_known_and_the_seed_alone(name: str) -> None:
    one, other = trained(make(name)), trained(make(name))
    for seed in range(5):
        draw = other.draw(seed + 100)
        assert draw is not None
        other.reject(draw)
    assert one.draw(7) == other.draw(7)
    assert one.draw(7) != one.draw(8)


def test_tpe_goes_where_it_was_good() -> None:
    assert mean_dropout(trained(make("tpe"))) < 0.25


def test_tpe_keeps_away_from_what_runs_unknown_but_not_from_what_runs_well() -> None:
    unknown, well = trained(make("tpe")), trained(make("tpe"))
    for searcher in (unknown, well):
        for number in range(20, 26):
            searcher.accept(number, values(0.8 + number / 1000), seed=number)
    for number in range(20, 26):
        well.observe(number, 5, 2.0)
    assert mean_dropout(unknown) < 0.4
    assert mean_dropout(well) > 0.5


@pytest.mark.parametrize("name", ["tpe", "cma_es"])
def test_a_trial_outside_of_the_space_is_passed_over(name: str) -> None:
    searcher = make(name)
    searcher.accept(0, Draw({"model.dropout": 7.0, "optimizer.learning_rate": 0.1}), seed=0)
    searcher.observe(0, 1, 0.5)
    searcher.finish(0, "completed", (0.5,))
    assert searcher.draw(1) is not None


@pytest.mark.parametrize("name", ["tpe", "gp", "cma_es", "nsga2"])
def test_every_end_of_a_trial_can_be_told(name: str) -> None:
    searcher = make(name)
    for number, state in enumerate(("completed", "stopped", "failed", "infeasible")):
        draw = searcher.draw(number)
        assert draw is not None
        searcher.accept(number, draw, number)
        known = state in ("completed", "stopped")
        if known:
            searcher.observe(number, 1, 0.5)
        searcher.finish(number, state, (0.5,) if known else None)
    assert searcher.draw(9) is not None

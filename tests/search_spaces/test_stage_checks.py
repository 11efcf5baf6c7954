"""Stages that cannot be carried out are refused, each by line and key."""

from pathlib import Path

import pytest

from search_spaces.loading import StudyFileError, load_study

HEAD = """\
name: s
data: {dataset: digits}
space:
  model.filters: {choices: [8, 16]}
  model.dropout: {low: 0.0, high: 0.5}
"""
BOTH = "parameters: [model.filters, model.dropout]"


def problems(tmp_path: Path, search: str) -> list[str]:
    file = tmp_path / "study.yaml"
    file.write_text(HEAD + "search:\n" + search)
    with pytest.raises(StudyFileError) as caught:
        load_study(file)
    return [problem.removeprefix(f"{file}:") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (
            f"  stages:\n    - {{{BOTH}, trials: 2}}\n    - {{parameters: [model.filter], trials: 2}}\n",
            "9: search.stages[1].parameters[0]: there is no parameter 'model.filter' in the space; "
            "did you mean `model.filters`?",
        ),
        (
            "  stages:\n    - {parameters: [model.filters], trials: 2}\n",
            "5: space.model.dropout: does not vary in any stage; add it to one of search.stages, or set it in the base",
        ),
        (
            f"  stages:\n    - {{{BOTH}, trials: 0}}\n",
            "8: search.stages[0].trials: got 0; expected a whole number (1 to 1,000,000)",
        ),
        (
            f"  stages:\n    - {{{BOTH}, trials: 2, top: 3}}\n",
            "8: search.stages[0].top: 3 is more than the stage's trials, 2",
        ),
        (
            f"  trials: 9\n  stages:\n    - {{{BOTH}, trials: 2}}\n",
            "7: search.trials: each stage has its own; give it in search.stages",
        ),
        (
            f"  second_objective: macs\n  stages:\n    - {{{BOTH}, trials: 2}}\n",
            "8: search.stages: a stage passes on its best trial, and two objectives have no single best; "
            "remove one of the two",
        ),
        (
            "  stages:\n    - {parameters: [model.filters, model.dropout, model.filters], trials: 2}\n",
            "8: search.stages[0].parameters[2]: 'model.filters' is listed twice; keep one",
        ),
        ("  stages:\n    - {trials: 2}\n", "8: search.stages[0].parameters: is missing; give a list, each text"),
        (
            f"  stages:\n    - {{{BOTH}, trials: 2, train_fraction: 1.5}}\n",
            "8: search.stages[0].train_fraction: got 1.5; expected a number (above 0 and at most 1)",
        ),
        (
            f"  stages:\n    - {{{BOTH}, trials: 2, searcher: tpee}}\n",
            "8: search.stages[0].searcher.name: unknown name 'tpee'; did you mean `tpe`? "
            "One of: cma_es, gp, grid, nsga2, random, tpe",
        ),
    ],
)
def test_what_is_wrong_is_said_by_line_and_key(tmp_path: Path, search: str, expected: str) -> None:
    assert problems(tmp_path, search) == [expected]


def test_a_parameter_that_the_schema_refuses_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        HEAD.replace("{low: 0.0, high: 0.5}", "{low: 0.0}") + f"search:\n  stages:\n    - {{{BOTH}, trials: 2}}\n"
    )
    with pytest.raises(StudyFileError) as caught:
        load_study(file)
    assert len(caught.value.problems) == 1

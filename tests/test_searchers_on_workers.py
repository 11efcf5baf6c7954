"""Searchers that need more than independent draws, on real workers: they start up, propose by their model, and end."""

from pathlib import Path

import pytest

from tests.workplace import Workplace

STUDY = """
name: small
data: {dataset: digits, train_fraction: 0.3}
model: {name: softmax_regression}
training: {max_epochs: 1}
search: {scheduler: none, trials: 14}
space:
  optimizer.learning_rate: {low: 1e-4, high: 1.0, log: true}
  optimizer.weight_decay: {low: 1e-5, high: 1e-1, log: true}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "searcher",
    [
        "search.searcher={name: gp, startup_trials: 4}",
        "search.searcher={name: cma_es, population: 4}",
    ],
    ids=["gp", "cma_es"],
)
def test_searcher_runs_to_its_end(tmp_path: Path, searcher: str) -> None:
    workplace = Workplace(tmp_path)
    (tmp_path / "small.yaml").write_text(STUDY)
    workplace.run("run", "small.yaml", "--set", searcher)
    record = workplace.record()
    assert (record.state, record.reason) == ("finished", "all 14 trials are done")
    assert [trial.state for trial in record.trials] == ["completed"] * 14
    assert len({trial.hash for trial in record.trials}) == 14
    assert set(workplace.child_runs()) == set(range(14))

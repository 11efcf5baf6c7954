"""A staged search whose driver is killed in every stage comes to the same end as an undisturbed one."""

from pathlib import Path

import pytest

from tests.faults.disturbed import Disturbed, course, finishes

STUDY = """
name: small
data: {dataset: digits}
model: {name: cnn, blocks: 2, filters: 8, dense_units: 16}
training: {max_epochs: 3, checkpoint_seconds: 0}
search:
  scheduler: {name: asha, grace_epochs: 1}
  stages:
    - {parameters: [model.filters, optimizer.learning_rate], searcher: random, trials: 4, train_fraction: 0.3, top: 2}
    - {parameters: [optimizer.learning_rate, model.dropout], trials: 4}
    - {parameters: [model.activation], searcher: grid, trials: 9}
resources: {max_concurrent: 1}
space:
  model.filters: {choices: [8, 16]}
  model.activation: {choices: [relu, gelu]}
  model.dropout: {low: 0.0, high: 0.5}
  optimizer.learning_rate: {low: 1e-3, high: 1e-1, log: true}
"""


def prepared(folder: Path) -> Disturbed:
    workplace = Disturbed(folder)
    (folder / "small.yaml").write_text(STUDY)
    return workplace


@pytest.mark.slow
def test_driver_killed_in_every_round(tmp_path_factory: pytest.TempPathFactory) -> None:
    undisturbed = prepared(tmp_path_factory.mktemp("undisturbed"))
    undisturbed.run("run", "small.yaml")
    record = undisturbed.record()
    assert record.state == "finished"
    assert {trial.stage for trial in record.trials} == {1, 2, 3}
    assert {trial.config.data.train_fraction for trial in record.trials if trial.stage == 1} == {0.3}
    assert {trial.config.data.train_fraction for trial in record.ranked} == {1.0}
    assert {trial.stage for trial in record.ranked} == {2, 3}

    workplace = prepared(tmp_path_factory.mktemp("disturbed"))
    for finished in (2, 5, 8):
        process = workplace.start("run", "small.yaml", "--resume", "auto")
        workplace.wait_for("trial_finished", finished, process)
        workplace.kill_driver(process)
    workplace.run("resume", "small")
    assert set(finishes(workplace.events()).values()) == {1}
    assert course(workplace.record()) == course(record)
    assert set(workplace.child_runs()) == {trial.number for trial in record.trials}
    tags = {number: run.data.tags["stage"] for number, run in workplace.child_runs().items()}
    assert tags == {trial.number: str(trial.stage) for trial in record.trials}
    workplace.run("test", "small")

"""Trials that cannot go well: each is recorded with its reason, and the study goes on, unless all fail alike."""

import pytest

from tests.faults.disturbed import Disturbed
from tuning.execution.trial_handout import HOPELESS_FAILURES

ODD = """
name: small
data: {dataset: digits}
model: {name: cnn, blocks: 2, filters: 8, dense_units: 16, batch_norm: false}
optimizer: {name: sgd, learning_rate: 0.01}
training: {max_epochs: 2}
resources: {memory_per_trial: 256MiB, max_concurrent: 1}
search:
  searcher: random
  scheduler: none
  trials: 4
  first:
    - {optimizer.learning_rate: 1.0e+18}
    - {model.filters: 8192}
    - {optimizer.learning_rate: 100.0}
space:
  model.filters: {choices: [8, 8192]}
  optimizer.learning_rate: {low: 1.0e-3, high: 1.0e+18, log: true}
"""
HOPELESS_SPACE = """
name: small
data: {dataset: digits}
model: {name: cnn, blocks: 2, filters: 8, dense_units: 16}
optimizer: {name: sgd, learning_rate: 1.0e+18}
training: {max_epochs: 2}
search: {searcher: random, scheduler: none, trials: 30}
space:
  model.dropout: {low: 0.0, high: 0.5}
"""


@pytest.mark.slow
def test_memory_limit_nan_and_exploding_loss_end_one_trial_each(workplace: Disturbed) -> None:
    (workplace.folder / "small.yaml").write_text(ODD)
    process = workplace.start("run", "small.yaml")
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    base, nan, hungry, exploding, *_ = workplace.record().trials
    assert base.state == "completed"
    assert (nan.state, nan.epochs) == ("failed", ())
    assert "loss is nan after epoch 1: training diverged" in nan.reason
    assert (hungry.state, hungry.epochs) == ("infeasible", ())
    assert "out of memory at batch size" in hungry.reason
    assert exploding.state == "failed"
    assert "training diverged" in exploding.reason
    runs = workplace.child_runs()
    assert runs[nan.number].info.status == "FAILED"
    assert "training diverged" in str(runs[nan.number].data.tags)
    assert "out of memory" in str(runs[hungry.number].data.tags)
    assert "training diverged" in workplace.run("results", "small")


@pytest.mark.slow
def test_study_whose_first_trials_all_fail_alike_stops(workplace: Disturbed) -> None:
    (workplace.folder / "small.yaml").write_text(HOPELESS_SPACE)
    process = workplace.start("run", "small.yaml")
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, output + errors
    assert f"the first {HOPELESS_FAILURES} trials all failed" in errors
    assert "training diverged" in errors
    assert "Traceback" not in errors
    record = workplace.record()
    assert record.state == "failed"
    assert HOPELESS_FAILURES <= sum(trial.state == "failed" for trial in record.trials) < 10

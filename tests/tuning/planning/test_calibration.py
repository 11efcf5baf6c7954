from typing import Any

import pytest

from search_spaces.schema import StudyConfig
from trainables.data.training_data import TrainingData, prepare_training_data
from trainables.errors import InputError
from tuning.planning import calibration
from tuning.planning.calibration import calibrate, estimate
from tuning.planning.plan import CalibratedTrial, Plan, make_plan

SPACE: dict[str, Any] = {"model.blocks": {"low": 1, "high": 4}, "training.batch_size": {"choices": [64, 4096]}}
Reports = list[tuple[str, int, int]]


def make_study(**content: Any) -> StudyConfig:
    base = {"name": "s", "data": {"dataset": "digits"}, "model": {"name": "cnn", "blocks": 2, "filters": 4}}
    return StudyConfig.model_validate(base | {"space": SPACE, "training": {"max_epochs": 9}} | content)


def plan(study: StudyConfig) -> Plan:
    return make_plan(study, (1, 8, 8), 10)


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    monkeypatch.setattr(calibration, "_LEAST_SECONDS", 0.01)


@pytest.fixture
def data(tmp_path) -> TrainingData:
    config = make_study().data.model_copy(update={"cache_dir": tmp_path / "cache"})
    return prepare_training_data(config)


def sample(kind: str, seconds: float | None, failed: str | None = None) -> CalibratedTrial:
    content = {"kind": kind, "params": {}, "seconds_per_epoch": seconds, "failed": failed}
    return CalibratedTrial.model_validate(content)


def test_every_feasible_sample_is_measured_once_on_the_images(data: TrainingData, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    study, reports = make_study(confirm={"top": 2, "seeds": 2}), Reports()
    planned = plan(study)
    time = calibrate(study, planned, data, 2, lambda *report: reports.append(report))
    wanted = [one.params for one in planned.samples if one.infeasible is None]
    assert [one.params for one in time.samples] == [
        params for number, params in enumerate(wanted) if params not in wanted[:number]
    ]
    measured = [one.seconds_per_epoch or 0.0 for one in time.samples]
    assert min(measured) > 0
    assert (time.seconds_per_epoch.low, time.seconds_per_epoch.high) == (min(measured), max(measured))
    assert [(done, total) for _, done, total in reports] == [(n, len(measured)) for n in range(len(measured))]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_frozen_backbone_leaves_no_features(tmp_path) -> None:
    """They would be those of a few images, under the name of all."""
    study = make_study(
        data={"dataset": "digits", "image_size": 32, "cache_dir": tmp_path / "cache"},
        model={"name": "backbone", "architecture": "squeezenet1_1", "freeze_depth": "all"},
        space={"optimizer.learning_rate": {"choices": [0.1, 0.01]}},
    )
    planned = make_plan(study, (1, 32, 32), 10)
    time = calibrate(study, planned, prepare_training_data(study.data), 1, lambda *report: None)
    assert all(one.seconds_per_epoch for one in time.samples)
    assert not (tmp_path / "cache/features").exists()


def test_a_configuration_that_does_not_fit_in_memory_is_told(data: TrainingData) -> None:
    space = {"model.filters": {"choices": [4, 4096]}}
    study = make_study(space=space, model={"name": "cnn", "blocks": 2}, resources={"memory_per_trial": "200MiB"})
    time = calibrate(study, plan(study), data, 1, lambda *report: None)
    fate = {one.params["model.filters"]: one for one in time.samples}
    assert fate[4096].seconds_per_epoch is None
    assert "out of memory" in (fate[4096].failed or "")
    assert fate[4].seconds_per_epoch


def test_times_are_epochs_by_seconds_by_trials_at_once() -> None:
    study = make_study(search={"trials": 50, "scheduler": "none"}, confirm={"top": 1, "seeds": 3})
    samples = [sample("default", 2.0), sample("smallest", 1.0), sample("largest", 9.0), sample("sampled", 4.0)]
    found = estimate(study, plan(study), [*samples, sample("sampled", None, "out of memory")], concurrent=6)
    assert found.seconds_per_epoch.model_dump() == {"low": 1.0, "expected": 3.0, "high": 9.0}
    epochs = 8 * 9 / 6  # the space has 8 configurations
    assert found.search.model_dump() == {"low": epochs, "expected": 3 * epochs, "high": 9 * epochs}
    assert found.confirm.expected == 3.0 * 3 * 9 / 3  # only three can run at once
    assert found.total.high == found.search.high + found.confirm.high
    assert any("72 epochs" in assumption for assumption in found.assumptions)


def test_the_time_budget_limits_the_search_alone() -> None:
    study = make_study(search={"time_budget": "10s", "scheduler": "median"}, confirm={"top": 1, "seeds": 2})
    found = estimate(study, plan(study), [sample("default", 5.0)], concurrent=1)
    assert found.search.model_dump() == {"low": 10.0, "expected": 10.0, "high": 10.0}
    assert found.confirm.expected == 5.0 * 2 * 9
    assert any("cannot be predicted" in assumption for assumption in found.assumptions)


def test_nothing_to_go_by_is_refused() -> None:
    study = make_study()
    with pytest.raises(InputError, match="none of the configurations can be trained: too large"):
        estimate(study, plan(study), [sample("default", None, "too large")], concurrent=1)

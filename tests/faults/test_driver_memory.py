"""What the driver keeps of trials that are over; `benchmarks/driver_memory.py` measures it."""

import gc
from pathlib import Path

import pytest
from ray.tune.experiment import Trial

from search_spaces.schema import StudyConfig
from tuning.execution.ray_callbacks import REMEMBERED
from tuning.preparation import StudyLocations
from tuning.storage.journal import Event, TrialFinished
from tuning.storage.observer import Silent
from tuning.study import run_study

TRIALS = 4 * REMEMBERED


class Watch(Silent):
    """Counts Ray Tune's trials in this process, which is the driver, when the last one ends."""

    def __init__(self) -> None:
        self.known = 0
        self._finished = 0

    def event(self, event: Event) -> None:
        self._finished += isinstance(event, TrialFinished)
        if self._finished == TRIALS and not self.known:
            gc.collect()
            self.known = sum(type(one) is Trial for one in gc.get_objects())


@pytest.mark.slow
def test_ray_tune_forgets_trials_that_are_over(tmp_path: Path) -> None:
    study = StudyConfig.model_validate(
        {
            "name": "trivial",
            "data": {"dataset": "digits", "train_fraction": 0.1},
            "model": {"name": "softmax_regression"},
            "training": {"max_epochs": 1},
            "search": {"trials": TRIALS, "searcher": "random", "scheduler": "none"},
            "space": {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
        }
    )
    watch = Watch()
    record = run_study(study, StudyLocations(tmp_path), watch)
    assert len(record.trials) == TRIALS
    assert 0 < watch.known < 2 * REMEMBERED + 5

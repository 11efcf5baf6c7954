"""How busy the service keeps its workers: trials that sleep one second on 16 logical CPUs, total against ideal.

    python benchmarks/sleeping_trials.py

The search (random), the journal, the scheduler, the mirror to MLflow and Ray are the service's own; only what a worker
does is replaced. The steady state begins when as many trials run as there are CPUs for and ends when the last trial
begins; start-up is stated apart. Prints a table and, as the last line, one JSON object.
"""

import argparse
import itertools
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from search_spaces.schema import StudyConfig
from trainables.data.training_data import prepare_training_data
from trainables.software import own_report
from trainables.trainable import Job
from tuning.execution.cluster import concurrent_trials, connect
from tuning.execution.runner import Workers
from tuning.execution.schedulers import make_scheduler
from tuning.search.feasibility import Feasibility
from tuning.search.search import Search
from tuning.storage.journal import StudyOpened, TrialFinished, TrialStarted, read_events
from tuning.storage.lock import study_lock
from tuning.storage.observer import Silent
from tuning.storage.paths import StudyFolder
from tuning.storage.recorder import Recorder
from tuning.tracking.mirror import Mirror
from tuning.tracking.preflight import check_reachable


class Sleeper(tune.Trainable):
    """Answers as a trial of one epoch does, after a nap."""

    def setup(self, config: dict[str, Any]) -> None:
        self._worker = own_report(Job.from_json(config["job"]).study).to_json()

    def step(self) -> dict[str, Any]:
        began = time.monotonic()
        time.sleep(SECONDS)
        metrics = {"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5, "learning_rate": 0.1}
        end = {"outcome": "", "reason": "", "warning": "", "weights_saved": True, "completed": True, "done": True}
        return {**metrics, "epoch_seconds": time.monotonic() - began, "epoch": 1, "worker": self._worker, **end}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        pass


SECONDS = 1.0


@dataclass(frozen=True)
class Change:
    """A trial has begun or ended."""

    seconds: float
    """Since the driver began."""
    running: int
    """Trials from now on."""
    ended: int
    """Trials so far."""


def run(folder: StudyFolder, trials: int) -> list[Change]:
    """Run the trials and return what happened when."""
    study = StudyConfig.model_validate(
        {
            "name": folder.name,
            "data": {"dataset": "digits"},
            "model": {"name": "softmax_regression"},
            "search": {"searcher": "random", "scheduler": "none", "trials": trials},
            "space": {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
        }
    )
    data = prepare_training_data(study.data)
    uri = f"sqlite:///{folder.path}/mlflow.db"
    folder.path.mkdir(parents=True)
    check_reachable(uri)
    feasibility = Feasibility(data.image_shape, len(data.classes))
    search = Search(study, data.fingerprint, feasibility.check, (), ())
    mirror = Mirror(folder, uri)
    with study_lock(folder), Recorder(folder, Silent()) as recorder:
        opening = StudyOpened(
            version="benchmark",
            study=study.model_dump(mode="json", exclude_unset=True),
            data_fingerprint=data.fingerprint,
            host="",
            pid=os.getpid(),
        )
        recorder.record(opening)
        mirror.start()
        with connect(None, study.resources, folder.path, Silent()):
            concurrent = concurrent_trials(study.resources)
            workers = Workers(study, folder, data, recorder, threading.Event(), concurrent, Silent().warning, Sleeper)
            workers.run(search, make_scheduler(study, ()), (), keep_checkpoints=1, deadline=None)
        mirror.close(60.0)
    changes, running, ended = [], 0, 0
    for event, _ in read_events(folder.journal):
        if isinstance(event, TrialStarted | TrialFinished):
            over = isinstance(event, TrialFinished)
            running, ended = running + (-1 if over else 1), ended + over
            changes.append(Change(event.time - opening.time, running, ended))
    return changes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--cpus", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="64 trials on 4 CPUs")
    options = parser.parse_args()
    if options.quick:
        options.trials, options.cpus = 64, 4
    os.environ["TUNE_CPUS"] = str(options.cpus)
    with tempfile.TemporaryDirectory() as temporary:
        processor = time.process_time()
        changes = run(StudyFolder(Path(temporary) / "studies", "sleeping"), options.trials)
        processor = time.process_time() - processor
    first = next(change for change in changes if change.running == options.cpus)
    last = [now for before, now in itertools.pairwise(changes) if now.running > before.running][-1]
    steady = last.ended - first.ended
    ideal = steady * SECONDS / options.cpus
    result = {
        "start_up": first.seconds,
        "ended_in_start_up": first.ended,
        "steady_trials": steady,
        "steady_seconds": last.seconds - first.seconds,
        "ideal_seconds": ideal,
        "efficiency": ideal / (last.seconds - first.seconds),
        "total_seconds": changes[-1].seconds,
        "driver_cpu_per_trial": processor / options.trials,
    }
    for name, value in result.items():
        print(f"{name:22s} {value:9.3f}")
    print(json.dumps({"benchmark": "sleeping_trials", "trials": options.trials, "cpus": options.cpus, **result}))


if __name__ == "__main__":
    main()

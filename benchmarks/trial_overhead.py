"""What a trial costs beyond its own training: many trivial trials, one at a time, by four programs.

    python benchmarks/trial_overhead.py
    python benchmarks/trial_overhead.py --profile     # where the driver's time goes

A trial is one epoch of softmax regression on scikit-learn's digits, on one thread. Programs: this service (TPE,
checkpoints, journal, MLflow on SQLite); a raw Ray Tune script (random search, no tracking, no checkpoints) with and
without actor reuse; Optuna alone (TPE in memory, training in its own process). Each is a process of its own. Counted
is the time from the end of one trial to the end of the next, less the trial's own epoch, once the first trials have
warmed the workers; the median says what a trial costs, the mean holds every hiccup. Beside it stands the processor
time of all the program's processes, the epoch included: the steadier measure on a machine that others use too. Prints
a table and, as the last line, one JSON object.
"""

import argparse
import cProfile
import io
import itertools
import json
import os
import pstats
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

STUDY = {
    "name": "trivial",
    "data": {"dataset": "digits"},
    "model": {"name": "softmax_regression"},
    "training": {"max_epochs": 1, "batch_size": 512, "precision": "fp32"},
    "search": {"searcher": "tpe", "scheduler": "asha"},
    "resources": {"max_concurrent": 1},
    "space": {
        "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "optimizer.weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    },
}

NEW_ACTORS = "Ray Tune, a new actor each"

WARM_UP = 0.2
"""Share of the trials that is not counted."""


class Ends:
    """Notes, on the driver, when trials end and what processor time all processes have had by then."""

    def __init__(self, trials: int) -> None:
        self.times: list[float] = []
        self.epochs: list[float] = []
        self.processor: list[float] = []
        self.counted_from = int(trials * WARM_UP)
        self._last = trials - 1

    def note(self, epoch_seconds: float) -> None:
        """A trial has ended."""
        if len(self.times) in (self.counted_from, self._last):
            process = psutil.Process()
            tree = (process, *process.children(recursive=True))
            self.processor.append(sum(sum(each.cpu_times()[:2]) for each in tree))
        self.times.append(time.perf_counter())
        self.epochs.append(epoch_seconds)


PROFILED = {
    "journal: append and sync": ("journal.py", "append"),
    "of that, fsync": ("~", "posix.fsync"),
    "searcher: propose": ("search.py", "ask"),
    "delete beaten checkpoints": ("retention.py", "finish"),
    "Ray Tune: wait for workers": ("worker.py", "wait"),
    "Ray Tune: one round of its loop, all told": ("tune_controller.py", "step"),
    "Ray Tune: reset a worker for the next trial": ("tune_controller.py", "_schedule_trial_reset"),
}
"""Functions of the driver's main thread, by file and name."""


def epochs(values: dict[str, float]) -> list[float]:
    """Train one trial; seconds of its epochs."""
    from search_spaces.composition import compose
    from search_spaces.schema import StudyConfig
    from trainables.data.training_data import open_training_data
    from trainables.training.loop import train

    config = compose(StudyConfig.model_validate(STUDY), values)
    return [epoch["epoch_seconds"] for epoch in train(config, open_training_data(config.data))]


def service(ends: Ends, trials: int, folder: Path) -> None:
    """This service as `tune-cli run` runs it."""
    from search_spaces.schema import StudyConfig
    from tuning.preparation import StudyLocations
    from tuning.storage.journal import EpochEnded, Event, TrialFinished
    from tuning.storage.observer import Silent
    from tuning.study import run_study

    class Watch(Silent):
        seconds = 0.0

        def event(self, event: Event) -> None:
            if isinstance(event, EpochEnded):
                self.seconds = event.metrics["epoch_seconds"]
            elif isinstance(event, TrialFinished):
                ends.note(self.seconds)

    study = StudyConfig.model_validate({**STUDY, "search": {**STUDY["search"], "trials": trials}})
    run_study(study, StudyLocations(folder), Watch())


def ray_tune(ends: Ends, trials: int, folder: Path, *, reuse_actors: bool) -> None:
    import logging

    import ray
    import torch
    from ray import tune

    class Trainable(tune.Trainable):
        def setup(self, config: dict[str, float]) -> None:
            torch.set_num_threads(1)
            self.values = config

        def reset_config(self, new_config: dict[str, float]) -> bool:
            self.values = new_config
            return True

        def step(self) -> dict[str, Any]:
            return {"seconds": sum(epochs(self.values)), "done": True}

    class Watch(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            ends.note(trial.last_result["seconds"])

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    space = {path: tune.loguniform(each["low"], each["high"]) for path, each in STUDY["space"].items()}
    tune.run(
        Trainable,
        config=space,
        num_samples=trials,
        reuse_actors=reuse_actors,
        max_concurrent_trials=1,
        storage_path=str(folder),
        callbacks=[Watch()],
        verbose=0,
    )
    ray.shutdown()


def optuna_alone(ends: Ends, trials: int, folder: Path) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        space = STUDY["space"].items()
        values = {path: trial.suggest_float(path, each["low"], each["high"], log=True) for path, each in space}
        seconds = sum(epochs(values))
        ends.note(seconds)
        return seconds

    optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0)).optimize(objective, trials)


PROGRAMS: dict[str, Callable[[Ends, int, Path], None]] = {
    "this service": service,
    "Ray Tune, actors reused": partial(ray_tune, reuse_actors=True),
    NEW_ACTORS: partial(ray_tune, reuse_actors=False),
    "Optuna alone": optuna_alone,
}


@dataclass(frozen=True)
class Row:
    program: str
    trials: int
    """Counted, after the warm-up."""
    overhead: float
    """Median seconds a trial beyond its epoch."""
    mean_overhead: float
    processor: float
    """Seconds a trial, of all processes, its epoch included."""
    first_trial_after: float
    """Seconds from the program's first line to the end of the first trial."""


def measure(program: str, trials: int) -> Row:
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    if program == NEW_ACTORS:  # each takes seconds
        trials = max(trials // 10, 6)
    ends = Ends(trials)
    with tempfile.TemporaryDirectory() as folder:
        PROGRAMS[program](ends, trials, Path(folder))
    first = ends.counted_from
    pairs = zip(itertools.pairwise(ends.times[first:]), ends.epochs[first + 1 :], strict=True)
    costs = [end - before - seconds for (before, end), seconds in pairs]
    processor = (ends.processor[1] - ends.processor[0]) / len(costs)
    after = ends.times[0] - began
    return Row(program, len(costs), statistics.median(costs), statistics.fmean(costs), processor, after)


def measure_apart(program: str, trials: int) -> Row:
    command = [sys.executable, __file__, "--one", program, "--trials", str(trials)]
    # The token is for raw Ray Tune; this service makes its own.
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = {**os.environ, **token, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    row = Row(**json.loads(output.splitlines()[-1]))
    print(row, file=sys.stderr, flush=True)
    return row


def profile(trials: int) -> None:
    profiler = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        profiler.enable()
        service(Ends(trials), trials, Path(folder))
        profiler.disable()
    rows = pstats.Stats(profiler, stream=io.StringIO()).stats.items()
    print(f"{'driver, milliseconds a trial, with what it calls':50s} {'wall':>8s} {'calls':>7s}")
    for what, (file, name) in PROFILED.items():
        found = [value for (path, _, function), value in rows if path.endswith(file) and name in function]
        seconds, calls = sum(value[3] for value in found), sum(value[1] for value in found)
        print(f"{what:50s} {seconds / trials * 1e3:8.1f} {calls / trials:7.1f}")
    print(f"{'whole process, processor time, all threads':50s} {time.process_time() / trials * 1e3:8.1f}")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="a tenth of them without actor reuse")
    parser.add_argument("--rounds", type=int, default=1, help="the programs take turns; medians over rounds")
    parser.add_argument("--quick", action="store_true", help="40 trials")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(measure(options.one, options.trials))))
        return
    trials = 40 if options.quick else options.trials
    if options.profile:
        profile(trials)
        return
    rounds = [[measure_apart(program, trials) for program in PROGRAMS] for _ in range(options.rounds)]
    rows = [sorted(rows, key=lambda row: row.overhead)[len(rows) // 2] for rows in zip(*rounds, strict=True)]
    print(
        f"{'seconds a trial beyond its epoch':32s} {'median':>8s} {'mean':>8s} {'processor':>10s} {'first trial':>12s}"
    )
    for row in rows:
        costs = f"{row.overhead:8.3f} {row.mean_overhead:8.3f} {row.processor:10.3f} {row.first_trial_after:12.1f}"
        print(f"{row.program:32s} {costs}")
    print(json.dumps({"benchmark": "trial_overhead", "trials": trials, "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()

"""Epochs that each searcher and scheduler needs to find the best of a space that was trained in full beforehand.

    OMP_NUM_THREADS=1 python -m benchmarks.search_efficiency [--seeds 30] [--workers 1 16 256 1000]

Replays searches against `digits_table.json` (see `digits_table.py`) with the service's own Search and scheduler
objects; only training is looked up. A search has found the best when a trial reports an accuracy within 0.1 point of
the best in the table. Prints a table and, last, one line of JSON.
"""

import argparse
import heapq
import itertools
import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.digits_table import TABLE
from search_spaces.schema import StudyConfig
from trainables.config.canonical import canonical_json
from tuning.execution.schedulers import Scheduler, make_scheduler
from tuning.search.search import Search
from tuning.storage.journal import TrialProposed

SEARCHERS = ("grid", "random", "tpe")
SCHEDULERS = ("none", "asha")
TOLERANCE = 0.001


class Table:
    """Validation accuracy by epoch of every configuration."""

    def __init__(self) -> None:
        content = json.loads(TABLE.read_text())
        self.study: dict[str, Any] = content["study"]
        self.curves: dict[str, list[float]] = {}
        for values, correct in content["rows"]:
            named = zip(content["columns"], values, strict=True)
            params = {path: value for path, value in named if value is not None}
            self.curves[canonical_json(params)] = [count / content["images"] for count in correct]
        self.best = max(map(max, self.curves.values()))
        self.epochs = sum(map(len, self.curves.values()))


@dataclass(frozen=True)
class Replay:
    """How one search went."""

    found: bool
    epochs: int
    """Until the best was found; all, where it was not."""
    trials: int
    duration: float
    """In epochs of one worker."""


def replay(table: Table, searcher: str, scheduler: str, seed: int, workers: int) -> Replay:
    """Search with workers that all take one unit of time an epoch."""
    options = {"searcher": searcher, "scheduler": scheduler, "seed": seed, "trials": len(table.curves)}
    study = StudyConfig.model_validate({**table.study, "search": options})
    search, rule = Search(study, "table", lambda config: {}), make_scheduler(study)
    order = itertools.count()
    running: list[tuple[int, int, int, TrialProposed]] = []
    trials = epochs = now = 0
    while True:
        while len(running) < workers and (proposed := search.ask().trial) is not None:
            heapq.heappush(running, (now + 1, next(order), 1, proposed))
            trials += 1
        if not running:
            return Replay(False, epochs, trials, now)
        now, _, epoch, proposed = heapq.heappop(running)
        epochs += 1
        curve = table.curves[canonical_json(proposed.params)]
        if curve[epoch - 1] >= table.best - TOLERANCE:
            return Replay(True, epochs, trials, now)
        if report(search, rule, proposed.number, epoch, curve):
            heapq.heappush(running, (now + 1, next(order), epoch + 1, proposed))


def report(search: Search, rule: Scheduler, number: int, epoch: int, curve: list[float]) -> bool:
    """Tell search and scheduler of an epoch in the order in which Ray does; whether the trial goes on."""
    last = epoch == len(curve)
    goes_on = not rule.report(number, epoch, curve[epoch - 1]) and not last
    search.observe(number, epoch, {"val_accuracy": curve[epoch - 1]})
    if not goes_on:
        rule.end(number)
        search.finish(number, "completed" if last else "stopped")
    return goes_on


def summarize(table: Table, searcher: str, scheduler: str, workers: int, seeds: int) -> dict[str, Any]:
    """Medians over seeds; a search that did not find the best counts with an infinite number of epochs."""
    began = time.perf_counter()
    replays = [replay(table, searcher, scheduler, seed, workers) for seed in range(seeds)]
    spent = sorted(one.epochs if one.found else float("inf") for one in replays)
    found = sum(one.found for one in replays)

    def share(epochs: float) -> float | None:
        return round(100 * epochs / table.epochs, 2) if epochs != float("inf") else None

    return {
        "searcher": searcher,
        "scheduler": scheduler,
        "workers": workers,
        "found": found,
        "seeds": seeds,
        "epochs_median_percent": share(statistics.median(spent)),
        "epochs_upper_quartile_percent": share(spent[(3 * seeds) // 4]),
        "epochs_mean_percent": share(statistics.mean(one.epochs for one in replays)),
        "trials_median": statistics.median(one.trials for one in replays),
        "duration_median_epochs": statistics.median(one.duration for one in replays),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 16, 256, 1000])
    parser.add_argument("--searchers", nargs="+", default=SEARCHERS)
    options = parser.parse_args()
    table, rows = Table(), []
    print(f"{len(table.curves)} configurations, {table.epochs} epochs in all, best {100 * table.best:.2f} %")
    print(
        "workers searcher scheduler  found   epochs in % of the full grid: median  upper quartile  mean   trials  time"
    )
    for workers, searcher, scheduler in itertools.product(options.workers, options.searchers, SCHEDULERS):
        row = summarize(table, searcher, scheduler, workers, options.seeds)
        rows.append(row)
        print(
            f"{workers:7d} {searcher:8s} {scheduler:9s} {row['found']:3d}/{row['seeds']:<3d}"
            f"{shown(row['epochs_median_percent']):>37s}{shown(row['epochs_upper_quartile_percent']):>16s}"
            f"{row['epochs_mean_percent']:6.1f}{row['trials_median']:9.0f}{row['duration_median_epochs']:6.0f}"
            f"   ({row['seconds']} s)",
            flush=True,
        )
    print(json.dumps({"benchmark": "search_efficiency", "epochs": table.epochs, "best": table.best, "rows": rows}))


def shown(percent: float | None) -> str:
    return "never" if percent is None else f"{percent:.1f}"


if __name__ == "__main__":
    main()

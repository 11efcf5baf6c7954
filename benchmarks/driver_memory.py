"""What the driver keeps of a trial that is over: its memory over many trivial trials, and what it consists of.

    python benchmarks/driver_memory.py
    python benchmarks/driver_memory.py --trace    # by source file; Python's own allocations only, and slower

A trial is one epoch of softmax regression on scikit-learn's digits. Looked at is the driver's resident memory, after
garbage collection, every 20 trials, from the hundredth trial on: before, libraries are still being loaded. The slope
is by least squares. A searcher has to remember every trial, so what it knows grows; `random` knows nothing.
Prints a table and, as the last line, one JSON object.
"""

import argparse
import gc
import json
import os
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import psutil
from trial_overhead import STUDY

from search_spaces.schema import StudyConfig
from tuning.preparation import StudyLocations
from tuning.storage.journal import Event, TrialFinished
from tuning.storage.observer import Silent
from tuning.study import run_study

SETTLED, EVERY = 100, 20
"""Trials before the first look, and between two."""


class Watch(Silent):
    """Looks at this process, which is the driver."""

    def __init__(self, last: int, trace: bool) -> None:
        self.rows: list[tuple[int, int, int]] = []
        """Trials, resident bytes, bytes that Python has allocated."""
        self.snapshots: list[tracemalloc.Snapshot] = []
        self._last = last - last % EVERY
        self._trace = trace
        self._finished = 0

    def event(self, event: Event) -> None:
        if not isinstance(event, TrialFinished):
            return
        self._finished += 1
        if self._finished < SETTLED or self._finished % EVERY:
            return
        gc.collect()
        self.rows.append((self._finished, psutil.Process().memory_info().rss, tracemalloc.get_traced_memory()[0]))
        if self._trace and self._finished in (SETTLED, self._last):
            self.snapshots.append(tracemalloc.take_snapshot())


def slope(rows: list[tuple[int, int, int]], column: int) -> float:
    """KiB a trial."""
    return float(np.polyfit([row[0] for row in rows], [row[column] for row in rows], 1)[0]) / 1024


def by_file(snapshots: list[tracemalloc.Snapshot], trials: int) -> list[str]:
    """The files whose allocations grew most."""
    before, after = snapshots
    found = after.compare_to(before, "lineno")[:40]
    lines = [(one.size_diff / 1024 / trials, one.count_diff / trials, one.traceback[0]) for one in found]
    return [
        f"{kib:8.2f} {count:8.1f}  {place.filename.split('site-packages/')[-1]}:{place.lineno}"
        for kib, count, place in lines
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--searcher", default="tpe")
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    search = {**STUDY["search"], "trials": options.trials, "searcher": options.searcher}
    study = StudyConfig.model_validate({**STUDY, "search": search})
    watch = Watch(options.trials, options.trace)
    if options.trace:
        tracemalloc.start()
    with tempfile.TemporaryDirectory() as folder:
        run_study(study, StudyLocations(Path(folder)), watch)
    print(f"{'trials':>8s} {'resident MiB':>14s}")
    for trials, resident, _ in watch.rows:
        print(f"{trials:8d} {resident / 2**20:14.1f}")
    found = {"searcher": options.searcher, "trials": options.trials, "kib_a_trial": slope(watch.rows, 1)}
    if options.trace:
        found["python_kib_a_trial"] = slope(watch.rows, 2)
        print("\n".join(["KiB and objects a trial", *by_file(watch.snapshots, watch.rows[-1][0] - SETTLED)]))
    print(json.dumps({"benchmark": "driver_memory", **found}))


if __name__ == "__main__":
    main()

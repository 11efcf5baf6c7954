"""A soak: many short trials, faults injected at random, and what they cost.

    python tests/faults/soak.py --trials 300

prints a table of faults survived, what was lost (nothing), and the driver's memory from beginning to end.
"""

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.faults.disturbed import Disturbed, Losses, finishes
from tuning.storage.record import StudyRecord

STUDY = """
name: small
data: {dataset: digits, train_fraction: 0.1}
model: {name: cnn, blocks: 2, filters: 8, dense_units: 16}
training: {max_epochs: 2, checkpoint_seconds: 0}
search: {trials: 6, scheduler: {name: asha, grace_epochs: 1}}
space:
  model.filters: {choices: [8, 16]}
  model.dropout: {low: 0.0, high: 0.5}
  optimizer.learning_rate: {low: 1e-3, high: 1e-1, log: true}
"""
_LOCKED_SECONDS = 8.0
_WORKER_KILLED = "worker killed (SIGKILL)"


@dataclass
class Life:
    """One driver, from its start to its end."""

    trials: list[int] = field(default_factory=list)
    """Trials finished in this life at each look."""
    rss: list[int] = field(default_factory=list)
    """Resident bytes at each look."""

    @property
    def growth(self) -> float:
        """Bytes a trial, by least squares, without the first trials: libraries are still loaded meanwhile."""
        first = min(100, self.trials[-1] // 2)
        settled = [(n, rss) for n, rss in zip(self.trials, self.rss, strict=True) if n >= first]
        if len({n for n, _ in settled}) < 2:
            return 0.0
        return float(np.polyfit(*zip(*settled, strict=True), 1)[0])


@dataclass
class Soak:
    """A study under random faults."""

    workplace: Disturbed
    trials: int
    chance: random.Random
    pause: tuple[float, float]
    """Least and most seconds between two faults."""
    drivers_die_until: float = 0.5
    """Share of the trials; after it one driver is left alone, so that its memory can be watched."""
    faults: Counter[str] = field(default_factory=Counter)
    losses: Losses = field(default_factory=Losses)
    lives: list[Life] = field(default_factory=list)

    def run(self) -> StudyRecord:
        """Start drivers until one says that the study is finished."""
        code, before = None, None
        while code != 0:
            process = self._start()
            code = self._disturb(process)
            assert code in (0, 130, -signal.SIGKILL), (self.workplace.folder / "output.log").read_text()[-2000:]
            if code != 0 and self.workplace.events():
                self.workplace.note(self.losses, before)
                before = self.workplace.record()
        self.workplace.note(self.losses, before)
        return self.workplace.record()

    def _start(self) -> "subprocess.Popen[str]":
        self.lives.append(Life())
        command = ["run", "small.yaml", "--resume", "auto", "--trials", str(self.trials)]
        with open(self.workplace.folder / "output.log", "a") as log:  # a pipe that nobody reads would fill up
            return subprocess.Popen(
                [sys.executable, "-m", "cli", *command],
                cwd=self.workplace.folder,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def _disturb(self, process: "subprocess.Popen[str]") -> int:
        """Watch one driver and inject faults; its exit code."""
        began, due = self._finished(), time.monotonic() + self.chance.uniform(*self.pause)
        life, watched = self.lives[-1], psutil.Process(process.pid)
        while process.poll() is None:
            finished = self._finished()
            rss = watched.memory_info().rss
            # After the last trial its model is registered, which loads libraries; no memory: the driver has just ended.
            if began < finished < self.trials and rss > 0:
                life.trials.append(finished - began)
                life.rss.append(rss)
            if finished > began and time.monotonic() > due and finished < self.trials:
                self.faults[self._fault(process, finished)] += 1
                due = time.monotonic() + self.chance.uniform(*self.pause)
            time.sleep(0.2)
        return process.wait()

    def _fault(self, process: "subprocess.Popen[str]", finished: int) -> str:
        faults: dict[str, Callable[[subprocess.Popen[str]], None]] = {
            _WORKER_KILLED: self.workplace.kill_worker,
            "MLflow's database locked for 8 s": self._lock_database,
        }
        if not self.workplace.workers(process):  # all of them were killed a moment ago
            del faults[_WORKER_KILLED]
        if finished < self.drivers_die_until * self.trials:
            faults["driver killed (SIGKILL), resumed"] = self.workplace.kill_driver
            faults["driver stopped (SIGTERM), resumed"] = self._stop
        name = self.chance.choice(sorted(faults))
        faults[name](process)
        return name

    def _stop(self, process: "subprocess.Popen[str]") -> None:
        process.terminate()
        process.communicate(timeout=120)

    def _lock_database(self, process: "subprocess.Popen[str]") -> None:
        with closing(sqlite3.connect(self.workplace.folder / "mlflow.db", timeout=60)) as database:
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(_LOCKED_SECONDS)

    def _finished(self) -> int:
        journal = self.workplace.journal
        return journal.read_bytes().count(b'"event":"trial_finished"') if journal.exists() else 0


def report(soak: Soak, record: StudyRecord, seconds: float) -> str:
    """The tables, in words."""
    runs = soak.workplace.child_runs()
    twice = sum(count > 1 for count in finishes(soak.workplace.events()).values())
    longest = max(soak.lives, key=lambda life: max(life.trials, default=0))
    lines = [f"{'fault':40} survived", *(f"{name:40} {count:8}" for name, count in sorted(soak.faults.items()))]
    lines += [
        "",
        f"trials asked for {soak.trials}, finished {sum(trial.is_finished for trial in record.trials)}, by state "
        f"{dict(Counter(trial.state for trial in record.trials))}, in {seconds:.0f} s and {len(soak.lives)} drivers",
        f"finished trials trained again {soak.losses.finished_rerun + twice}, trials lost {soak.losses.trials_lost}, "
        f"MLflow runs {len(runs)} (none twice), epochs repeated a running trial: "
        f"at most {max(soak.losses.epochs_repeated, default=0)}",
        f"longest-lived driver: {longest.trials[-1]} trials, memory {longest.rss[0] / 2**20:.1f} MiB at its first "
        f"finished trial, {longest.rss[-1] / 2**20:.1f} MiB before its last, {longest.growth / 1024:.1f} KiB a trial",
    ]
    lines += [f"trial {trial.number} failed: {trial.reason}" for trial in record.trials if trial.state == "failed"]
    return "\n".join(lines)


def verify(soak: Soak, record: StudyRecord) -> None:
    """Nothing was lost, nothing was done twice."""
    assert record.state == "finished", record.reason
    assert len(record.trials) >= soak.trials
    assert all(trial.is_finished for trial in record.trials)
    assert set(finishes(soak.workplace.events()).values()) == {1}
    assert (soak.losses.finished_rerun, soak.losses.trials_lost) == (0, 0)
    assert max(soak.losses.epochs_repeated, default=1) == 1
    assert set(soak.workplace.child_runs()) == {trial.number for trial in record.trials}


def prepare(folder: Path, trials: int, seed: int, pause: tuple[float, float]) -> Soak:
    """A soak in a folder of its own."""
    workplace = Disturbed(folder)
    (folder / "small.yaml").write_text(STUDY)
    return Soak(workplace, trials, random.Random(seed), pause)


def main() -> None:
    """Run a soak and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--undisturbed", action="store_true", help="no faults: the driver's memory alone")
    parser.add_argument("--spare-drivers", action="store_true", help="faults of workers and of MLflow only: one driver")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUNE_CACHE_DIR"] = f"{folder}/cache"
        pause = (1e9, 1e9) if arguments.undisturbed else (1.0, 6.0)
        soak = prepare(Path(folder), arguments.trials, arguments.seed, pause)
        if arguments.spare_drivers:
            soak.drivers_die_until = 0.0
        began = time.monotonic()
        record = soak.run()
        print(report(soak, record, time.monotonic() - began))
        verify(soak, record)


if __name__ == "__main__":
    main()

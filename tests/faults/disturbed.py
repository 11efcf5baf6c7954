"""A workplace whose study is disturbed: processes killed for real, and what was lost by it counted."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

from tests.workplace import Workplace
from tuning.storage.journal import Event, TrialFinished
from tuning.storage.paths import StudyFolder
from tuning.storage.record import StudyRecord

WALL_CLOCK = frozenset({"epoch_seconds"})
"""Metrics that no two runs share."""


@dataclass
class Losses:
    """What interruptions cost, to be compared with what is promised."""

    kills: int = 0
    finished_rerun: int = 0
    """Trials that were finished and were trained or finished again."""
    trials_lost: int = 0
    """Trials that the journal knew before a kill and does not know after."""
    epochs_repeated: list[int] = field(default_factory=list)
    """For each trial that ran at a kill: epochs trained again, the one that was cut short among them."""


class Disturbed(Workplace):
    """The program in processes of its own, which are killed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.study = StudyFolder(folder / "studies", "small")

    def kill_driver(self, process: "subprocess.Popen[str]") -> None:
        """SIGKILL to the driver; returns when all its workers have ended by themselves."""
        started = psutil.Process(process.pid).children(recursive=True)
        workers = self.workers(process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert not alive, f"outlived their driver by a minute: {alive}"
        for agent in started:  # Ray's own take up to minutes to notice; they touch no study
            with contextlib.suppress(psutil.NoSuchProcess):
                agent.kill()

    def workers(self, process: "subprocess.Popen[str]") -> list[psutil.Process]:
        """The driver's workers that have a trial, or had one."""
        return [child for child in psutil.Process(process.pid).children(recursive=True) if _trains(child)]

    def kill_worker(self, process: "subprocess.Popen[str]") -> None:
        """SIGKILL to one of the driver's workers."""
        wait_until(lambda: self.workers(process), process)
        self.workers(process)[0].kill()

    def checkpointed_epochs(self, number: int) -> int:
        """Epochs that a trial's newest checkpoint holds."""
        path = self.study.trial_checkpoints(number) / "last.pt"
        return len(torch.load(path, weights_only=True)["history"]) if path.exists() else 0

    def note(self, losses: Losses, before: StudyRecord | None) -> None:
        """Count a kill of the driver: what the journal and the checkpoints know now, against `before`."""
        losses.kills += 1
        now = self.record() if self.events() else None
        if now is None:
            assert before is None
            return
        known = {trial.number: trial for trial in before.trials} if before is not None else {}
        after = {trial.number: trial for trial in now.trials}
        losses.trials_lost += len(known.keys() - after.keys())
        losses.finished_rerun += sum(known[n].is_finished and known[n] != after.get(n) for n in known)
        running = [trial for trial in now.trials if trial.state == "running"]
        # One epoch is under way in each; beyond it, those that were reported and are in no checkpoint.
        losses.epochs_repeated += [1 + max(0, len(t.epochs) - self.checkpointed_epochs(t.number)) for t in running]


def finishes(events: list[Event]) -> Counter[int]:
    """How often each trial was finished."""
    return Counter(event.number for event in events if isinstance(event, TrialFinished))


def course(record: StudyRecord) -> list[object]:
    """Everything about a study's trials that must not depend on interruptions: all but clocks."""
    return [
        (
            trial.number,
            trial.source,
            trial.params,
            trial.state,
            trial.reason,
            [{name: value for name, value in epoch.items() if name not in WALL_CLOCK} for epoch in trial.epochs],
        )
        for trial in record.trials
    ]


def _trains(process: psutil.Process) -> bool:
    try:
        return any("ray::TrialTrainable" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Poll until `condition()` holds; the driver must be alive meanwhile."""
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


def fill(folder: Path, leave: int) -> Path:
    """Fill the folder's file system up to `leave` bytes; the file to delete."""
    filler = folder / "filler"
    with open(filler, "wb") as file:
        file.write(bytes(max(0, shutil.disk_usage(folder).free - leave)))
    return filler

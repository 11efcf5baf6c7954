"""A study's journal made of real events, and the program run as a person runs it."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tuning.storage.journal import (
    EpochEnded,
    Event,
    Journal,
    StudyEnded,
    StudyOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
)
from tuning.storage.paths import StudyFolder

STUDY = {
    "name": "digits-cnn",
    "data": {"dataset": "digits"},
    "training": {"max_epochs": 4},
    "search": {"trials": 8},
    "space": {
        "model.filters": {"choices": [8, 16, 24]},
        "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    },
}


class Events:
    """Builds journals."""

    @staticmethod
    def opened(time: float = 100.0, **changes: Any) -> StudyOpened:
        return StudyOpened(time=time, version="0", study=STUDY | changes, data_fingerprint="f" * 64, host="here", pid=1)

    @staticmethod
    def proposed(number: int, time: float = 101.0) -> TrialProposed:
        config = {"data": {"dataset": "digits"}, "training": {"max_epochs": 4}}
        params = {"model.filters": 8 * (1 + number % 3), "optimizer.learning_rate": 0.001 * (number + 1)}
        return TrialProposed(time=time, number=number, params=params, config=config, hash=str(number))

    @staticmethod
    def trial(
        number: int, accuracies: Sequence[float], state: str | None, reason: str = "", time: float = 102.0
    ) -> list[Event]:
        events: list[Event] = [Events.proposed(number, time), TrialStarted(number=number, time=time)]
        for epoch, accuracy in enumerate(accuracies, 1):
            metrics = {"val_accuracy": accuracy, "val_loss": 1.0 - accuracy}
            events.append(EpochEnded(number=number, epoch=epoch, metrics=metrics, time=time + epoch))
        if state is not None:
            end = time + len(accuracies)
            finished = TrialFinished.model_validate(
                {"number": number, "state": state, "reason": reason, "duration_s": float(len(accuracies)), "time": end}
            )
            events.append(finished)
        return events

    @staticmethod
    def whole_study() -> list[Event]:
        """Seven trials of every fate; trial 2 is the champion by its second epoch."""
        return [
            Events.opened(),
            *Events.trial(0, [0.5, 0.6, 0.7, 0.8], "completed"),
            *Events.trial(1, [0.3], "stopped", "asha at epoch 1"),
            *Events.trial(2, [0.7, 0.95, 0.9, 0.9], "completed"),
            *Events.trial(3, [0.99], "failed", "ValueError: the worker died\nsecond line"),
            *Events.trial(4, [], "failed", "ValueError: the worker died\nsecond line"),
            *Events.trial(5, [], "infeasible", "block 4 leaves no pixel"),
            *Events.trial(6, [0.95], "stopped", "asha at epoch 1"),
            StudyEnded(state="finished", reason="all 8 trials are done", time=200.0),
        ]

    @staticmethod
    def write(storage: Path, events: Sequence[Event], name: str = "digits-cnn") -> StudyFolder:
        folder = StudyFolder(storage, name)
        journal = Journal(folder.journal)
        journal.append(*events)
        journal.close()
        return folder


@dataclass(frozen=True)
class Finished:
    """What a run of the program left."""

    code: int
    out: str
    err: str
    modules: frozenset[str]
    """Every top-level module that it had imported."""


RunCli = Callable[..., Finished]

_PROGRAM = """
import atexit, pathlib, sys
from cli.main import main
listing = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: listing.write_text("\\n".join(sys.modules)))
main()
"""


@pytest.fixture
def run_cli(tmp_path: Path) -> RunCli:
    """Run `tune-cli ARGUMENTS` in an empty folder; never with a traceback."""

    def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Finished:
        listing = tmp_path / "modules.txt"
        command = [sys.executable, "-c", _PROGRAM, str(listing), *map(str, arguments)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | (env or {})
        process = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in process.stderr, process.stderr
        modules = frozenset(listing.read_text().splitlines())
        return Finished(process.returncode, process.stdout, process.stderr, modules)

    return run


@pytest.fixture
def events() -> type[Events]:
    """How journals are made."""
    return Events


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """`whole_study` in `studies/`."""
    return Events.write(tmp_path / "studies", Events.whole_study())

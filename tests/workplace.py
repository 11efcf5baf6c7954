"""The program in processes of its own, in a folder of its own, with a small study of scikit-learn's digits."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tuning.storage.journal import Event, read_events
from tuning.storage.record import StudyRecord
from tuning.storage.study_state import read_record

STUDY = """
name: small
data: {dataset: digits}
model: {name: cnn, blocks: 2, filters: 8, dense_units: 16}
training: {max_epochs: 3, checkpoint_seconds: 0}
search: {trials: 6, scheduler: {name: asha, grace_epochs: 1}}
space:
  model.filters: {choices: [8, 16]}
  model.activation: {choices: [relu, gelu]}
  model.dropout: {low: 0.0, high: 0.5}
  optimizer.name: {choices: [sgd, adamw]}
  optimizer.momentum: {low: 0.0, high: 0.9, when: {optimizer.name: sgd}}
  optimizer.learning_rate: {low: 1e-3, high: 1e-1, log: true}
"""
_started: list[subprocess.Popen[str]] = []


def end_what_is_left() -> None:
    """Kill what a test that failed has left running; otherwise its processor and pipes would be missed by the next."""
    for process in _started:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    _started.clear()


class Workplace:
    """A folder with a study file, and the program run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "small.yaml").write_text(STUDY)
        self.journal = folder / "studies" / "small" / "journal.jsonl"
        self.store = f"sqlite:///{folder / 'mlflow.db'}"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `tune-cli ARGUMENTS` in a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        _started.append(process)
        return process

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run `tune-cli ARGUMENTS` to its end; its standard output."""
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=240)
        assert process.returncode == code, errors
        assert "Traceback" not in errors
        return output

    def events(self) -> list[Event]:
        """What the journal holds; nothing before there is one."""
        return [event for event, _ in read_events(self.journal)] if self.journal.exists() else []

    def record(self) -> StudyRecord:
        """The study as its journal tells it."""
        return read_record(self.journal)

    def wait_for(self, kind: str, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until the journal holds `count` events of a kind."""
        while Counter(event.event for event in self.events())[kind] < count:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)

    def child_runs(self) -> dict[int, Any]:
        """MLflow's child runs by trial number; a trial that is there twice fails the test."""
        from mlflow import MlflowClient  # takes seconds to load, and every test loads this file

        client = MlflowClient(self.store)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = [run for run in client.search_runs(experiments) if "mlflow.parentRunId" in run.data.tags]
        numbers = Counter(int(run.data.tags["tune.trial"]) for run in runs)
        assert all(count == 1 for count in numbers.values()), numbers
        return {int(run.data.tags["tune.trial"]): run for run in runs}

"""Shows a running study as plain lines, for output that is not a terminal."""

import time
from typing import TextIO

from cli.display import formatting
from cli.display.output import say
from cli.display.progress import OpenTrial, StudyProgress
from tuning.storage.journal import Event, TrialFinished
from tuning.storage.record import StudyRecord

_PROGRESS_SECONDS = 10.0
"""Minimum time between two progress lines."""


class PlainLines:
    """Observer that writes lines without color or cursor movement."""

    def __init__(self, progress: StudyProgress, stream: TextIO) -> None:
        self._progress = progress
        self._stream = stream
        self._next_progress = 0.0

    def phase(self, text: str) -> None:
        """One line."""
        self._next_progress = time.monotonic() + _PROGRESS_SECONDS
        self._line(text)

    def warning(self, text: str) -> None:
        """One line."""
        self._line(f"warning: {text}")

    def progress(self, text: str, done: int, total: int) -> None:
        """At most one line every ten seconds."""
        if time.monotonic() >= self._next_progress:
            self._next_progress = time.monotonic() + _PROGRESS_SECONDS
            self._line(f"{text}: {done} of {total}")

    def study(self, record: StudyRecord) -> None:
        """Nothing to say."""
        self._progress.take_up(record)

    def event(self, event: Event) -> None:
        """One line per finished trial."""
        trial = self._progress.open.get(event.number) if isinstance(event, TrialFinished) else None
        self._progress.event(event)
        if trial is not None and isinstance(event, TrialFinished):
            self._line(self._finished(trial, event))

    def _finished(self, trial: OpenTrial, event: TrialFinished) -> str:
        progress = self._progress
        tally = progress.confirm if trial.confirms else progress.search
        kind = "confirming " if trial.confirms else ""
        said = [f"[{kind}{tally.done}/{tally.wanted}] trial {trial.number} {formatting.STATES[event.state]}"]
        if event.state in ("failed", "infeasible"):
            said.append(event.reason.strip().partition("\n")[0])
        else:
            value = formatting.metric(progress.objective, trial.best)
            said.append(
                f"after {trial.epoch} epochs, {formatting.duration(event.duration_s)}: {progress.objective} {value}"
            )
            leader = progress.leader
            if leader is not None and leader.number != trial.number:
                said.append(f"(best {formatting.metric(progress.objective, leader.value)}, trial {leader.number})")
        return " ".join([*said, " ", formatting.parameters(trial.params)])

    def _line(self, text: str) -> None:
        say(text, self._stream)

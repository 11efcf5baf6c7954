"""Shows a running study on a terminal as a table, redrawn a few times a second."""

import threading
from collections import OrderedDict
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.display import formatting
from cli.display.output import visible, visible_in_line
from cli.display.progress import Leader, OpenTrial, StudyProgress
from tuning.storage.journal import Event
from tuning.storage.record import StudyRecord

_DRAWS_PER_SECOND = 2
"""Each redraw takes a few milliseconds of CPU time from the trials."""
_WARNINGS_SHOWN = 3
_WARNINGS_KEPT = 50
_LINES_BESIDE_TRIALS = 12
"""Lines besides the running trials, including the parameters of the best."""

_COLORS = {"completed": "green", "stopped": "yellow", "failed": "red", "infeasible": "magenta", "running": "cyan"}


class LiveTable:
    """Observer that draws a table. A lock protects it: events come from the driver's thread, another one draws."""

    def __init__(self, progress: StudyProgress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._lock = threading.Lock()
        self._phase = "starting"
        self._step: tuple[str, int, int] | None = None
        self._warnings: OrderedDict[str, int] = OrderedDict()
        self._ended = False
        self._live = Live(self, console=console, refresh_per_second=_DRAWS_PER_SECOND)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._live.stop()

    def phase(self, text: str) -> None:
        """Show what the driver is doing."""
        with self._lock:
            self._phase, self._step = text, None

    def warning(self, text: str) -> None:
        """Show the warning among the latest, with a count of repeats. At the end, all are shown."""
        with self._lock:
            self._warnings[text] = self._warnings.pop(text, 0) + 1
            if len(self._warnings) > _WARNINGS_KEPT:
                self._warnings.popitem(last=False)

    def progress(self, text: str, done: int, total: int) -> None:
        """Show a progress bar for the current step."""
        with self._lock:
            self._step = (text, done, total)

    def study(self, record: StudyRecord) -> None:
        """Count what there is."""
        with self._lock:
            self._progress.take_up(record)

    def event(self, event: Event) -> None:
        """Count the event."""
        with self._lock:
            self._progress.event(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the current state."""
        with self._lock:
            parts: list[RenderableType] = [self._heading()]
            if self._step is not None:
                parts.append(_bar(*self._step))
            if self._progress.name:
                parts += self._study(options.size.height)
            parts += self._warning_lines()
            yield Group(*parts)

    def _heading(self) -> Text:
        name = self._progress.name
        heading = Text(visible_in_line(name), style="bold", no_wrap=True, overflow="ellipsis")
        return heading.append(f"{' · ' if name else ''}{visible_in_line(self._phase)}", style="not bold")

    def _study(self, height: int) -> list[RenderableType]:
        progress = self._progress
        parts: list[RenderableType] = [
            _bar("trials", progress.search.done, progress.search.wanted),
            *([_bar("confirming", progress.confirm.done, progress.confirm.wanted)] if progress.confirm.wanted else []),
            _line(self._times()),
            _states(progress),
        ]
        if progress.leader is not None:
            parts += _best(progress.objective, progress.leader)
        if not self._ended and progress.running:
            parts.append(_running(progress, max(1, height - _LINES_BESIDE_TRIALS)))
        return parts

    def _times(self) -> str:
        progress = self._progress
        elapsed = formatting.duration(progress.elapsed())
        spent = elapsed if progress.time_budget is None else f"{elapsed} of {formatting.duration(progress.time_budget)}"
        remaining = None if self._ended else progress.remaining()
        return f"time {spent}" + ("" if remaining is None else f", about {formatting.duration(remaining)} to go")

    def _warning_lines(self) -> list[Text]:
        said = [
            f"warning: {text}" + (f" ({times} times)" if times > 1 else "") for text, times in self._warnings.items()
        ]
        if self._ended:
            return [Text(visible(line), style="yellow", overflow="fold") for line in said]
        return [_line(line, style="yellow") for line in said[-_WARNINGS_SHOWN:]]


def _line(text: str, style: str = "") -> Text:
    return Text(visible_in_line(text), style=style, no_wrap=True, overflow="ellipsis")


def _bar(text: str, done: int, total: int) -> Table:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=40)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(ratio=1)
    grid.add_row(_line(text), f"{done} of {total}", ProgressBar(total=max(1, total), completed=min(done, total)))
    return grid


def _states(progress: StudyProgress) -> Text:
    counted = [
        Text(f"{progress.counts[state]} {word}", style=_COLORS.get(state, ""))
        for state, word in formatting.STATES.items()
        if progress.counts[state]
    ]
    line = Text(", ").join(counted)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _best(objective: str, leader: Leader) -> list[Text]:
    value = formatting.metric(objective, leader.value)
    return [
        _line(f"best {objective} {value}, trial {leader.number}, epoch {leader.epoch}", style="bold green"),
        Text(f"  {formatting.parameters(leader.params)}", overflow="fold"),
    ]


def _running(progress: StudyProgress, most: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("epoch", justify="right", no_wrap=True)
    table.add_column(progress.objective, justify="right", no_wrap=True, max_width=12)
    table.add_column("parameters", ratio=1, no_wrap=True, overflow="ellipsis")
    running = progress.running
    for trial in running[:most]:
        table.add_row(*_trial_row(progress.objective, trial))
    if len(running) > most:
        table.add_row("", "", "", f"and {len(running) - most} more")
    return table


def _trial_row(objective: str, trial: OpenTrial) -> tuple[str, str, str, Text]:
    epoch = f"{trial.epoch}/{trial.max_epochs}"
    return (
        str(trial.number),
        epoch,
        formatting.metric(objective, trial.value),
        _line(formatting.parameters(trial.params)),
    )

"""Shows a running study as a live table on a terminal, else as plain lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cli.display.output import console
from cli.display.plain import PlainLines
from cli.display.progress import StudyProgress
from tuning.storage.observer import Observer


@contextmanager
def watch(*, on_stderr: bool, plain: bool = False) -> Iterator[Observer]:
    """Yield an observer for one run of the driver.

    Args:
        on_stderr: Write to standard error instead of standard output.
        plain: Plain lines even on a terminal, because other output is written to it.
    """
    progress = StudyProgress()
    stream = sys.stderr if on_stderr else sys.stdout
    if plain or not stream.isatty():
        yield PlainLines(progress, stream)
        return
    screen = console(stream)
    if screen.is_dumb_terminal:
        yield PlainLines(progress, stream)
        return
    from cli.display.live import LiveTable

    with LiveTable(progress, screen) as live:
        yield live

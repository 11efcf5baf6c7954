"""`driver.log` in the study's folder: what the driver did and what it was told, line by line with time and place.

Whoever has something to say uses `logging.getLogger(__name__)`; this module alone decides where it goes. Lines of
libraries go to the same file, from warnings on, and no longer to the terminal, where they would break the table.
"""

import contextlib
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from trainables.config.references import without_secrets
from trainables.errors import StudyFailedError, TuneError
from tuning.storage.own_files import open_to_append
from tuning.storage.paths import StudyFolder

LARGEST_BYTES = 8 * 2**20
"""Of `driver.log`; then it becomes `driver.log.1` in place of the one before, and a new file begins."""
_LONGEST_LINE = 64 * 2**10
"""Characters of one record, a traceback for example; what is in the middle of a longer one is left out."""

_OWN = ("cli", "tuning", "search_spaces", "trainables")
_LIBRARIES = ("ray", "optuna", "mlflow")
"""Loggers with handlers and levels of their own."""

logger = logging.getLogger(__name__)


@contextmanager
def driver_log(folder: StudyFolder, addresses: Collection[str] = ()) -> Iterator[None]:
    """Append what is logged to the study's `driver.log`, and an unforeseen error with its traceback.

    Args:
        folder: of the study; it is there.
        addresses: whose passwords must not be logged, besides those in the environment.

    Raises:
        StudyFailedError: an error that nobody foresaw; says where its traceback is.
        UnsafePathError: `driver.log` is a link, or not a regular file.
    """
    with collecting(_LogFile(folder.log, addresses)), _warnings_logged():
        try:
            yield
        except TuneError as error:
            logger.error("%s: %s", type(error).__name__, error)
            raise
        except Exception as error:
            logger.exception("unforeseen error")
            problem = without_secrets(f"{type(error).__name__}: {error}".partition("\n")[0][:300], addresses)
            raise StudyFailedError(
                f"an error that this program does not foresee ended the driver ({problem}); its traceback is in "
                f"{folder.log}. What was recorded is safe: `{folder.command('resume')}` goes on from there"
            ) from error
        except BaseException as error:  # a second signal
            logger.error("ended at once by %s", type(error).__name__)
            raise


@contextmanager
def shown_log(write: Callable[[str], None], addresses: Collection[str] = ()) -> Iterator[None]:
    """Pass what is logged to `write`, the same lines as in `driver.log`."""
    with collecting(_Lines(write, addresses)):
        yield


@contextmanager
def collecting(handler: logging.Handler) -> Iterator[None]:
    """Let the handler have this program's records from INFO on, libraries' and Python's warnings, and close it."""
    root = logging.getLogger()
    with ExitStack() as stack:
        stack.callback(handler.close)
        for name in _OWN:
            stack.enter_context(_sent_to(logging.getLogger(name), handler, logging.INFO))
        for name in _LIBRARIES:
            stack.enter_context(_passed_on(logging.getLogger(name), logging.WARNING))
        root.addHandler(handler)
        stack.callback(root.removeHandler, handler)
        yield


@contextmanager
def _warnings_logged() -> Iterator[None]:
    """Log Python's warnings. Those of this program are meant for the terminal and go there as well."""
    shown = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        logger.warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)
        if category.__module__.partition(".")[0] in _OWN:
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown


@contextmanager
def _sent_to(source: logging.Logger, handler: logging.Handler, level: int) -> Iterator[None]:
    """Send this program's records to this module's handlers alone: the root's, if it has others, would print them."""
    before, propagates, level_before = source.handlers, source.propagate, source.level
    source.handlers = [*(one for one in before if isinstance(one, _Lines)), handler]
    source.propagate = False
    source.setLevel(level)
    try:
        yield
    finally:
        source.handlers, source.propagate = before, propagates
        source.setLevel(level_before)


@contextmanager
def _passed_on(source: logging.Logger, level: int) -> Iterator[None]:
    """Let the root's handlers have the records of a library, and none of its own.

    Not `_sent_to`: `ray.init` gives the handlers of Ray's logger its own format, or removes them.
    """
    before, propagates, level_before = source.handlers, source.propagate, source.level
    source.handlers, source.propagate = [], True
    source.setLevel(level)
    try:
        yield
    finally:
        source.handlers, source.propagate = before, propagates
        source.setLevel(level_before)


class _Format(logging.Formatter):
    """`2026-01-31T12:00:00.123Z WARNING tuning.module: message`; the lines after a record's first are indented.

    So no message, which may be a server's or a library's, looks like another record, or moves a terminal's cursor.
    Secrets are taken out here, where the text is whole: a filter would not see what tracebacks hold.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, addresses: Collection[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._addresses = addresses

    def format(self, record: logging.LogRecord) -> str:
        """The whole record as text without a line end."""
        text = without_secrets(super().format(record), self._addresses)
        if len(text) > _LONGEST_LINE:
            half = _LONGEST_LINE // 2
            text = f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"
        return "\n    ".join(_printable(line) for line in text.split("\n"))


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode() for char in line
    )


class _Lines(logging.Handler):
    """Passes records on as text."""

    def __init__(self, write: Callable[[str], None], addresses: Collection[str]) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(_Format(addresses))

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`, which holds this handler's lock. Whoever logs must not fail for it."""
        try:
            text = self.format(record)
        except Exception as error:  # a library's record whose arguments do not fit its text
            where = f"{record.name} ({record.pathname}:{record.lineno})"
            text = f"{self._now()} ERROR {__name__}: a record of {where} has no text: {type(error).__name__}"
        with contextlib.suppress(OSError):  # nobody reads the other end any more; `driver.log` has it
            self._write(text)

    @staticmethod
    def _now() -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class _LogFile(_Lines):
    """Appends to a file of bounded size. A full disk costs lines, not the study; how many is said afterwards."""

    def __init__(self, path: Path, addresses: Collection[str]) -> None:
        super().__init__(self._append, addresses)
        self._path = path
        self._lost = 0
        self._closing = threading.Lock()
        self._file = open_to_append(path)

    def close(self) -> None:
        """Close the file; a record that another thread is about to pass on is dropped."""
        with self._closing:
            self._file.close()
        super().close()

    def _append(self, text: str) -> None:
        with self._closing:
            if self._file.closed:
                return
            try:
                if os.fstat(self._file.fileno()).st_size > LARGEST_BYTES:
                    self._begin_anew()
                if self._lost:
                    lost = f"{self._lost} records before the next one could not be written"
                    self._write_whole(f"{self._now()} WARNING {__name__}: {lost}")
                    self._lost = 0
                self._write_whole(text)
            except OSError:
                self._lost += 1

    def _write_whole(self, text: str) -> None:
        data = f"{text}\n".encode(errors="backslashreplace")
        if self._file.write(data) != len(data):
            raise OSError(f"{self._path} took a part of a line")

    def _begin_anew(self) -> None:
        os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))
        before, self._file = self._file, open_to_append(self._path)
        before.close()

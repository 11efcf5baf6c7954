"""Standard output and standard error: all output of the program goes through this module.

File names, class names, server responses and library messages are untrusted. A terminal executes the escape sequences
in them, which can color, move, retitle and hide text. So all text goes through `visible` first.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

_WIDTH_ELSEWHERE = 120
"""Columns if standard output is not a terminal."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 except tab and newline, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # bidirectional controls and invisible line separators
    "\ud800-\udfff]"  # bytes of names that are not UTF-8
)
_UNSEEN_IN_LINE = re.compile(f"[\t\n]|{_UNSEEN.pattern}")


def visible(text: str) -> str:
    r"""The text with control characters escaped, for example as `\x1b`; newlines and tabs stay."""
    return _UNSEEN.sub(_escape, text)


def visible_in_line(text: str) -> str:
    r"""Like `visible`, for names in a line or table: newlines and tabs become `\n` and `\t`."""
    return _UNSEEN_IN_LINE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()


def say(text: str = "", stream: TextIO | None = None) -> None:
    """Write a line to standard output or `stream`."""
    print(visible(text), file=stream or sys.stdout, flush=True)


def say_aside(text: str) -> None:
    """Write a line to standard error."""
    say(text, sys.stderr)


def console(stream: TextIO | None = None) -> "Console":
    """Console for tables on standard output or `stream`: no markup, and text goes through `visible`.

    Colors only on a terminal, and not if NO_COLOR is set.
    """
    from cli.display.visible_console import VisibleConsole

    width = None if stream or sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_ELSEWHERE
    return VisibleConsole(file=stream, width=width, markup=False, highlight=False, emoji=False)


@contextmanager
def result_alone(json: bool) -> Iterator[Callable[["BaseModel"], None]]:
    """Yield a function that prints a result as JSON on standard output.

    With `json`, all other standard output of this program, its libraries and its child processes goes to standard
    error: the file descriptor is redirected, not only `sys.stdout`.
    """
    if not json:
        yield lambda result: say(_json(result))
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield lambda result: _write(kept, _json(result) + "\n")
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _json(result: "BaseModel") -> str:
    """The result as JSON; what `visible` would escape gets JSON escapes, so that no value changes."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match.group()):04x}", result.model_dump_json(indent=2))


def _write(descriptor: int, text: str) -> None:
    with open(descriptor, "w", closefd=False) as file:
        file.write(text)

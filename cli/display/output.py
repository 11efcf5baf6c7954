"""Standard output and standard error: who may write where."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import BaseModel
from rich.console import Console

_WIDTH_ELSEWHERE = 120
"""Columns where standard output is no terminal."""


def console() -> Console:
    """Standard output for tables: text is printed as it is, colours only on a terminal and without NO_COLOR."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_ELSEWHERE
    return Console(width=width, markup=False, highlight=False, emoji=False)


@contextmanager
def result_alone(json: bool) -> Iterator[Callable[[BaseModel], None]]:
    """Yield a function that prints a result as JSON on standard output.

    With `json`, whatever else is written to standard output meanwhile, by this program, a library or a child process,
    goes to standard error: the descriptor itself is redirected, not only `sys.stdout`.
    """
    if not json:
        yield lambda result: print(result.model_dump_json(indent=2))
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield lambda result: _write(kept, result.model_dump_json(indent=2) + "\n")
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _write(descriptor: int, text: str) -> None:
    with open(descriptor, "w", closefd=False) as file:
        file.write(text)

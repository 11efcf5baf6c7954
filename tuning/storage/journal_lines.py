"""The lines of a journal: numbered and chained by checksums, so that damage is noticed and never believed.

    {"seq":0,"sum":"5f1d7a84db5e2f1c","journal":2}
    {"seq":1,"sum":"c70b21a6a1d8f3e0","event":"study_opened",...}

`seq` counts lines from 0. `sum` is a digest of the line's own text, its number and the `sum` of the line before it: a
line that was changed, left out, doubled or moved breaks the chain there. Whole lines missing at the very end cannot be
told from a driver that died before it wrote them.

Journals of format 1 have lines without number and checksum. They are read; what is appended to them is format 2, whose
first checksum is over all lines before it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from trainables.errors import InputError
from tuning.storage.own_files import open_to_read

FORMAT = 2

_NUMBERED = re.compile(rb'\{"seq":(\d{1,18}),"sum":"([0-9a-f]{16})",(.*\})\n', re.DOTALL)
_HEADER = re.compile(rb'"journal":(\d{1,9})\}')


class JournalError(InputError):
    """A journal that is damaged, or in a format that this program does not know."""


@dataclass(frozen=True)
class Position:
    """A place between two lines of a journal; the default is its beginning."""

    offset: int = 0
    """Bytes before it."""
    lines: int = 0
    """Lines before it."""
    chain: str = ""
    """Checksum over all lines before it."""
    format: int = 1


@dataclass(frozen=True)
class Line:
    """One line that is whole."""

    content: bytes
    """A JSON object, without number and checksum; empty for the line that states the format."""
    end: Position


def numbered(position: Position, json_object: bytes) -> tuple[bytes, Position]:
    """The line for a JSON object at this position, and the position after it."""
    rest = json_object[1:]
    chain = _digest(position.chain, b"%d:" % position.lines, rest)
    line = b'{"seq":%d,"sum":"%s",%s\n' % (position.lines, chain.encode(), rest)
    return line, Position(position.offset + len(line), position.lines + 1, chain, FORMAT)


def header(position: Position) -> tuple[bytes, Position]:
    """The line that says that all further ones are of this format."""
    return numbered(position, b'{"journal":%d}' % FORMAT)


def check(text: bytes, position: Position, path: Path) -> Line:
    """The line `text`, newline included, which begins at this position.

    Raises:
        JournalError: it is damaged, or of a newer format.
    """
    match = _NUMBERED.fullmatch(text)
    if match is None:
        if position.format >= FORMAT:
            raise damaged(path, position.lines, "it does not begin with its number and checksum")
        chain = _digest(position.chain, b"", text)
        return Line(text, Position(position.offset + len(text), position.lines + 1, chain, 1))
    number, chain, rest = int(match[1]), match[2].decode(), match[3]
    if number != position.lines:
        raise damaged(path, position.lines, f"its number is {number}, and {position.lines} would be right")
    if chain != _digest(position.chain, b"%d:" % number, rest):
        raise damaged(path, position.lines, "its checksum is not that of its text and of the lines before it")
    stated = _HEADER.fullmatch(rest)
    format_ = int(stated[1]) if stated else position.format
    if format_ > FORMAT:
        raise JournalError(
            f"{path} is in format {format_} of a newer version of this program, and this one knows formats up to "
            f"{FORMAT}; use the version that wrote it"
        )
    end = Position(position.offset + len(text), number + 1, chain, format_)
    return Line(b"" if stated else b"{" + rest, end)


def read_lines(path: Path, start: Position) -> Iterator[Line]:
    """Each whole line from `start` on; what a crash left of a last one is passed over.

    Raises:
        JournalError: a line is damaged.
    """
    position = start
    with open_to_read(path) as file:
        file.seek(start.offset)
        for text in file:
            if not text.endswith(b"\n"):
                if _is_whole(text[:-1] + b"\n", position, path):
                    raise damaged(path, position.lines, "its last byte is not the end of a line")
                return
            line = check(text, position, path)
            position = line.end
            yield line


def _is_whole(text: bytes, position: Position, path: Path) -> bool:
    """Whether it is a line of the present format; one cut short is not."""
    try:
        return position.format >= FORMAT and bool(check(text, position, path))
    except JournalError:
        return False


def damaged(path: Path, line: int, problem: str) -> JournalError:
    """The error for a line, counted from 0."""
    return JournalError(
        f"{path}:{line + 1}: this line is damaged: {problem}. Nothing after it is believed. Put the file back from a "
        f"backup, or see what `tune-cli repair {path.parent.name}` could save"
    )


def _digest(chain: str, number: bytes, text: bytes) -> str:
    digest = blake2b(chain.encode(), digest_size=8)
    digest.update(number)
    digest.update(text)
    return digest.hexdigest()

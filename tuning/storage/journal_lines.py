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
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from trainables.errors import InputError
from tuning.storage.own_files import open_to_read
from tuning.storage.paths import StudyFolder

FORMAT = 2

LONGEST_LINE = 16 * 2**20
"""Bytes. The longest events hold a study file, which is smaller by far."""

_NUMBERED = re.compile(rb'\{"seq":(\d{1,18}),"sum":"([0-9a-f]{16})",')
_HEADER = re.compile(rb'"journal":(\d{1,9})\}')


class JournalError(InputError):
    """A journal that is damaged, or in a format that this program does not know."""


class Position(NamedTuple):
    """A place between two lines of a journal; the default is its beginning."""

    offset: int = 0
    """Bytes before it."""
    lines: int = 0
    """Lines before it."""
    chain: str = ""
    """Checksum over all lines before it."""
    format: int = 1
    unchecked: int = 0
    """Lines before it in format 1, which have no checksum. They come first."""


class NumberedLine(NamedTuple):
    """A line of format 2 as it stands in a file, be it damaged or not."""

    number: int
    checksum: str
    rest: bytes
    """The JSON object without number, checksum and opening brace."""

    def checksum_after(self, chain: str) -> str:
        """What its checksum should be if `chain` is that of the line before."""
        return _digest(chain, b"%d:" % self.number, self.rest)

    @property
    def stated_format(self) -> int | None:
        """Of a header."""
        stated = _HEADER.fullmatch(self.rest)
        return int(stated[1]) if stated else None


class Line(NamedTuple):
    """One line that is whole."""

    content: bytes
    """A JSON object, without number and checksum; empty for the line that states the format."""
    end: Position


def numbered(position: Position, json_object: bytes) -> tuple[bytes, Position]:
    """The line for a JSON object at this position, and the position after it."""
    rest = json_object[1:]
    chain = NumberedLine(position.lines, "", rest).checksum_after(position.chain)
    line = b'{"seq":%d,"sum":"%s",%s\n' % (position.lines, chain.encode(), rest)
    return line, Position(position.offset + len(line), position.lines + 1, chain, FORMAT, position.unchecked)


def header(position: Position) -> tuple[bytes, Position]:
    """The line that says that all further ones are of this format."""
    return numbered(position, b'{"journal":%d}' % FORMAT)


def as_numbered(text: bytes) -> NumberedLine | None:
    """A line, newline included, taken apart; None if it has not the shape of format 2."""
    match = _NUMBERED.match(text)
    if match is None or not text.endswith(b"}\n"):
        return None
    return NumberedLine(int(match[1]), match[2].decode(), text[match.end() : -1])


def after_unchecked(position: Position, text: bytes) -> Position:
    """The position after a line of format 1."""
    number = position.lines + 1
    return Position(position.offset + len(text), number, _digest(position.chain, b"", text), 1, number)


def check(text: bytes, position: Position, path: Path) -> Line:
    """The line `text`, newline included, which begins at this position.

    Raises:
        JournalError: it is damaged, or of a newer format.
    """
    line = as_numbered(text)
    if line is None:
        if position.format >= FORMAT:
            raise damaged(path, position.lines, "it does not begin with its number and checksum")
        return Line(text, after_unchecked(position, text))
    if line.number != position.lines:
        raise damaged(path, position.lines, f"its number is {line.number}, and {position.lines} would be right")
    if line.checksum != line.checksum_after(position.chain):
        raise damaged(path, position.lines, "its checksum is not that of its text and of the lines before it")
    stated = line.stated_format
    if stated is not None and stated > FORMAT:
        raise newer_format(path, stated)
    format_ = position.format if stated is None else stated
    end = Position(position.offset + len(text), line.number + 1, line.checksum, format_, position.unchecked)
    return Line(b"{" + line.rest if stated is None else b"", end)


def newer_format(path: Path, stated: int) -> JournalError:
    """The error for a journal that goes on in a format this program does not know."""
    return JournalError(
        f"{path} is in format {stated} of a newer version of this program, and this one knows formats up to {FORMAT}; "
        "use the version that wrote it"
    )


def read_lines(path: Path, start: Position) -> Iterator[Line]:
    """Each whole line from `start` on; what a crash left of a last one is passed over.

    Raises:
        JournalError: a line is damaged, or the file cannot be read.
    """
    position = start
    try:
        with open_to_read(path) as file:
            file.seek(start.offset)
            while text := file.readline(LONGEST_LINE):
                if not text.endswith(b"\n"):
                    if not is_cut_short(text, position, path):
                        raise damaged(path, position.lines, "it has no end, and is not the beginning of a line either")
                    return
                line = check(text, position, path)
                position = line.end
                yield line
    except OSError as error:
        raise JournalError(f"{path} cannot be read ({error.strerror or error})") from error


def is_cut_short(tail: bytes, position: Position, path: Path) -> bool:
    """Whether what follows the last newline is what a crash in writing a line leaves: its beginning.

    A file without any newline holds no event, whatever is in it: such a study has not begun.
    """
    if position.lines == 0:
        return True
    beginnings = [b'{"seq":%d,"sum":"' % position.lines]
    if position.format < FORMAT:
        beginnings.append(b'{"time":')  # version 0.1 wrote it
    is_beginning = any(tail[: len(begins)] == begins[: len(tail)] for begins in beginnings)
    return is_beginning and len(tail) < LONGEST_LINE and not _is_whole(tail[:-1] + b"\n", position, path)


def _is_whole(text: bytes, position: Position, path: Path) -> bool:
    """Whether it is a line of the present format."""
    try:
        return as_numbered(text) is not None and bool(check(text, position, path))
    except JournalError:
        return False


def damaged(path: Path, line: int, problem: str) -> JournalError:
    """The error for a line, counted from 0."""
    repair = StudyFolder(path.parent.parent, path.parent.name).command("repair")
    return JournalError(
        f"{path}:{line + 1}: this line is damaged: {problem}. Nothing after it is believed. Put the file back from a "
        f"backup, or see what `{repair}` can save"
    )


def _digest(chain: str, number: bytes, text: bytes) -> str:
    return blake2b(chain.encode() + number + text, digest_size=8).hexdigest()

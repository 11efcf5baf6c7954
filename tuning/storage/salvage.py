"""What is certain of a damaged journal: the lines that are as they were written, in the order they were written in.

The checksum of a numbered line is over its text and the checksum of the line before. So a line is certain if it fits
the checksum that the line before it states, or the one that the text of the line before it makes: a damaged line does
not cost the next one. After a line that is missing altogether, the next cannot be told from a damaged one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainables.errors import InputError
from tuning.storage.journal import Event, parse_event, problem_with
from tuning.storage.journal_lines import (
    FORMAT,
    NumberedLine,
    Position,
    after_unchecked,
    as_numbered,
    header,
    is_cut_short,
    newer_format,
)


@dataclass(frozen=True)
class SavedLine:
    """An event that can be relied on."""

    event: Event
    lost_before: int
    """Lines that are lost between this one and the saved one before."""
    unchecked: bytes | None
    """The line itself, newline included, where it is in format 1; None for a numbered one."""


@dataclass(frozen=True)
class Salvaged:
    """What is certain of a journal."""

    lines: tuple[SavedLine, ...]
    lost_at_end: int
    """Lines after the last saved one."""
    problems: tuple[str, ...]
    """What is wrong with the file; empty for a sound one."""

    @property
    def lines_lost(self) -> int:
        """In all."""
        return sum(line.lost_before for line in self.lines) + self.lost_at_end


def salvage(path: Path, content: bytes) -> Salvaged:
    """Find the lines of a journal that can be relied on.

    Raises:
        InputError: nothing certain can be said, or a newer version has written some of it.
    """
    *lines, tail = content.split(b"\n")
    file = _File(path)
    for place, line in enumerate(lines, start=1):
        file.take(place, line + b"\n")
    return file.salvaged(len(lines) + 1, tail)


@dataclass(frozen=True)
class _Certain:
    """A numbered line that is as it was written."""

    line: NumberedLine
    place: int
    """Where it stands, counted from 1."""
    checksum: str
    """The right one; the one in the file may be damaged."""


class _File:
    """The lines of a file, sorted by what they are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unchecked: list[tuple[int, bytes, Event]] = []
        """Events of format 1, by where they stand, counted from 1."""
        self._numbered: dict[int, dict[NumberedLine, int]] = {}
        """By number, with where it stands; several of a number where one is damaged in just that."""
        self._bad_places: list[int] = []
        """Of lines that cannot be relied on."""
        self._has_bad_unchecked = False
        """Whether one of them stands before every numbered line."""
        self._problems: list[str] = []

    def take(self, place: int, text: bytes) -> None:
        """Take in the line that stands at `place`, counted from 1."""
        line = as_numbered(text)
        if line is not None:
            self._take_numbered(place, line)
            return
        if self._numbered:
            self._bad(place, "it does not begin with its number and checksum")
            return
        try:
            self._unchecked.append((place, text, parse_event(text, format_=1)))
        except ValueError as error:
            self._has_bad_unchecked = True
            self._bad(place, f"it is no event ({problem_with(error)})")

    def salvaged(self, place: int, tail: bytes) -> Salvaged:
        """The outcome, given what follows the last newline, and where that stands."""
        first = self._header_number()
        certain = self._certain(first)
        if tail and not is_cut_short(tail, self._end(certain), self._path):
            self._bad(place, "it has no end, and is not the beginning of a line either")
        saved = tuple(self._saved(first, certain))
        last = max((*(one.place for one in certain.values()), *(at for at, _, _ in self._unchecked)), default=0)
        # Nothing says how many lines there were after the last one: as many as there are.
        found = Salvaged(saved, sum(at > last for at in self._bad_places), ())
        if found.lines_lost > len(self._bad_places):
            self._problems.append(f"{found.lines_lost - len(self._bad_places)} lines are missing")
        return Salvaged(saved, found.lost_at_end, tuple(self._problems))

    def _take_numbered(self, place: int, line: NumberedLine) -> None:
        known = self._numbered.setdefault(line.number, {})
        if line in known:
            self._problems.append(f"line {line.number + 1} stands a second time, at {place}")
            return
        highest = max(self._numbered)
        if line.number < highest:
            self._problems.append(f"line {line.number + 1} stands after line {highest + 1}")
        known[line] = place

    def _bad(self, place: int, problem: str) -> None:
        self._bad_places.append(place)
        self._problems.append(f"line {place}: {problem}")

    def _header_number(self) -> int:
        """Number of the line that says that the further ones are numbered, be it there or not."""
        if not self._unchecked:
            return 0
        least = min(self._numbered, default=self._end_of_unchecked().lines)
        has_header = any(line.stated_format is not None for line in self._numbered.get(least, ()))
        return least if has_header or not self._numbered else least - 1

    def _header_checksums(self, number: int) -> set[str]:
        """What the checksum of the header may be: the one in the file, the one that it should have, or both.

        Raises:
            InputError: the numbered lines were written after other lines of format 1 than those in the file.
        """
        stated = {line.checksum for line in self._numbered.get(number, ())}
        if self._unchecked and self._has_bad_unchecked:
            return stated
        right = _header(number).checksum_after(self._end_of_unchecked().chain)
        following = self._numbered.get(number + 1, {})
        if self._unchecked and following and not any(self._fits(line, {right}) for line in following):
            if any(self._fits(line, stated) for line in following):
                raise InputError(
                    f"{self._path} cannot be repaired: something in its first {number} lines, which carry no "
                    "checksums, is not as it was written, and nothing says which of them it is. Put a copy of it back"
                )
        if right not in stated:
            self._problems.append(f"line {number + 1}, which states the format, is damaged or missing")
        return {right, *stated}

    def _certain(self, first: int) -> dict[int, _Certain]:
        """The numbered lines that can be relied on, after the header at `first`.

        Raises:
            InputError: a newer version has written some of them, or the lines before them are not as they were.
        """
        certain: dict[int, _Certain] = {}
        if not self._numbered:
            return certain
        # What the checksum of the line before may be.
        chains, before = self._header_checksums(first), first + 1
        for number in sorted(number for number in self._numbered if number > first):
            if number != before:
                chains = set()
            candidates = self._numbered[number]
            stated = {line.checksum for line in candidates}
            made: set[str] = set()
            for line, place in candidates.items():
                if self._fits(line, chains):
                    right = self._right_checksum(line, chains)
                    certain[number] = _Certain(line, place, right)
                    if right != line.checksum:
                        self._problems.append(f"line {number + 1} has a damaged checksum; its text is as it was")
                else:
                    self._bad(place, "its checksum is not that of its text and of the line before it")
                made |= {line.checksum_after(chain) for chain in chains}
            chains = {certain[number].checksum} if number in certain else made | stated
            before = number + 1
        newer = max((one.line.stated_format or 0 for one in certain.values()), default=0)
        if newer > FORMAT:
            raise newer_format(self._path, newer)
        return certain

    def _fits(self, line: NumberedLine, chains: set[str]) -> bool:
        """Whether the line is as it was written, if the checksum of the line before is one of `chains`."""
        made = {line.checksum_after(chain) for chain in chains}
        return line.checksum in made or any(self._is_confirmed(line, checksum) for checksum in made)

    def _right_checksum(self, line: NumberedLine, chains: set[str]) -> str:
        made = {line.checksum_after(chain) for chain in chains}
        confirmed = (checksum for checksum in made if self._is_confirmed(line, checksum))
        return line.checksum if line.checksum in made else next(confirmed)

    def _is_confirmed(self, line: NumberedLine, checksum: str) -> bool:
        """Whether the next line was written after one with this checksum."""
        following = self._numbered.get(line.number + 1, ())
        return any(after.checksum == after.checksum_after(checksum) for after in following)

    def _saved(self, first: int, certain: dict[int, _Certain]) -> Iterator[SavedLine]:
        lost, before = 0, 0
        for place, text, event in self._unchecked:
            yield SavedLine(event, place - before - 1, text)
            before = place
        if self._numbered:
            lost, before = max(0, first - before), first + 1
        for number, one in sorted(certain.items()):
            if one.line.stated_format is not None:
                lost, before = lost + number - before, number + 1
                continue
            yield SavedLine(self._event(one), number - before + lost, None)
            lost, before = 0, number + 1

    def _event(self, one: _Certain) -> Event:
        try:
            return parse_event(b"{" + one.line.rest)
        except ValueError as error:
            raise InputError(
                f"{self._path}:{one.place}: an event of another version of this program ({problem_with(error)}); "
                "repair the journal with the version that wrote it"
            ) from error

    def _end(self, certain: dict[int, _Certain]) -> Position:
        """After the last line that can be relied on."""
        if certain:
            number = max(certain)
            return Position(lines=number + 1, chain=certain[number].checksum, format=FORMAT)
        end = self._end_of_unchecked()
        return header(end)[1] if self._numbered else end

    def _end_of_unchecked(self) -> Position:
        position = Position()
        for _, text, _ in self._unchecked:
            position = after_unchecked(position, text)
        return position


def _header(number: int) -> NumberedLine:
    return NumberedLine(number, "", b'"journal":%d}' % FORMAT)

"""Repair of a damaged journal: what is certain is kept, what is lost is said and written down for good.

Lines that were moved or doubled are put right without loss, and a line that is damaged costs one event
(`tuning.storage.salvage`). A trial that may have lost an epoch is not believed: if it was finished it has failed now;
else it goes on, and its worker reports the lost epochs again from the checkpoint.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from trainables.errors import InputError
from trainables.permissions import file_mode
from trainables.safe_files import replace_file
from tuning.storage.journal import (
    ChampionLogged,
    ChampionPicked,
    EpochEnded,
    Event,
    JournalRepaired,
    StudyOpened,
    TestOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
)
from tuning.storage.journal_lines import Position, after_unchecked, header, numbered
from tuning.storage.lock import study_lock
from tuning.storage.own_files import open_to_read
from tuning.storage.paths import StudyFolder
from tuning.storage.salvage import Salvaged, salvage
from tuning.storage.study_state import ContradictionError, ForeignStudyError, StudyState, fold
from tuning.storage.write_errors import writing


@dataclass(frozen=True)
class Repair:
    """What a repair does to a journal."""

    problems: tuple[str, ...]
    """What is wrong with the file, line by line."""
    lines_lost: int
    """Lines, with the event in each, that cannot be saved."""
    consequences: tuple[str, ...]
    """What becomes of the trials concerned."""
    journal: bytes
    """The whole new file."""
    kept_as: Path
    """Where the damaged file goes."""


def repair(folder: StudyFolder, approve: Callable[[Repair], bool]) -> Repair | None:
    """Repair a study's journal, if `approve` says so after it was told what that means.

    Returns:
        What was done; None where nothing is damaged.

    Raises:
        InputError: a driver works on the study, it is not approved, or too much is lost.
        RecordError: the files cannot be written; the journal is as it was.
    """
    with study_lock(folder):
        with open_to_read(folder.journal) as file:
            content = file.read()
        found = _plan(folder, content)
        if found is None:
            return None
        if not approve(found):
            raise InputError("nothing was changed; give --yes to repair the journal")
        with writing(folder):
            mode = file_mode(folder.path)
            replace_file(found.kept_as, content, mode)
            replace_file(folder.journal, found.journal, mode)
        return found


def _plan(folder: StudyFolder, content: bytes) -> Repair | None:
    saved = salvage(folder.journal, content)
    if saved.problems and not any(isinstance(line.event, StudyOpened) for line in saved.lines):
        raise _hopeless(folder, "study_opened, which says what the study is, is lost")
    try:
        kept = _Kept(saved)
    except (ContradictionError, ForeignStudyError) as error:
        raise _hopeless(folder, str(error)) from error
    if not saved.problems and not kept.dropped:
        return None
    kept_as = _free_name(folder.journal)
    event = JournalRepaired(
        dropped=saved.lines_lost + kept.dropped,
        trials=tuple(sorted(kept.changed_trials)),
        lost=tuple(sorted(kept.lost_trials)),
        next_number=kept.next_number,
        damaged=kept_as.name,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    fold([*kept.events, *kept.failures(), event])  # whatever becomes of it can be read
    return Repair(
        problems=saved.problems,
        lines_lost=event.dropped,
        consequences=tuple(kept.consequences()),
        journal=_written(kept, event),
        kept_as=kept_as,
    )


class _Kept:
    """The events that can be believed after what was lost, in order."""

    def __init__(self, saved: Salvaged) -> None:
        self.unchecked: list[bytes] = []
        """Lines of format 1, as they are."""
        self.events: list[Event] = []
        self.dropped = 0
        """Events that were read and make no sense without those that were lost."""
        self.lost_trials: set[int] = set()
        self.changed_trials: dict[int, str] = {}
        """Trial to what it has lost."""
        self._ended: set[int] = set()
        """Changed trials whose end was dropped."""
        self._trials: dict[int, _Seen] = {}
        self._has_gaps = False
        self._lost_since_proposal = 0
        self._state = StudyState()
        for line in saved.lines:
            if line.lost_before:
                self._gap(line.lost_before)
            if self._take(line.event) and line.unchecked is not None:
                self.unchecked.append(line.unchecked)
        if saved.lost_at_end:
            self._gap(saved.lost_at_end)
        for number, trial in self._trials.items():
            if trial.is_doubtful and number not in self.changed_trials:
                self.changed_trials[number] = "an epoch or its end may be lost"
        highest = max((*self._trials, *self.lost_trials), default=-1)
        self.lost_trials |= set(range(highest)) - self._trials.keys()
        self.next_number = highest + 1 + self._lost_since_proposal

    def failures(self) -> list[TrialFinished]:
        """Ends for the trials that cannot be believed and will not be trained again."""
        return [
            TrialFinished(number=number, state="failed", reason=f"{self.changed_trials[number]} (damaged journal)")
            for number in sorted(self._ended)
        ]

    def consequences(self) -> list[str]:
        """What becomes of the trials concerned, a sentence each."""
        said = [f"trial {number} is lost: the line that proposed it is" for number in sorted(self.lost_trials)]
        for number, problem in sorted(self.changed_trials.items()):
            fate = "it has failed now" if number in self._ended else "`resume` goes on with it"
            said.append(f"trial {number}: {problem}; {fate}")
        if said or self._has_gaps:
            said.append(
                "anything else in the lost lines is not known: a champion that was picked, a test that was opened"
            )
        return said

    def _gap(self, lines: int) -> None:
        """Between two kept lines so many are lost: an epoch of any trial under way may be among them."""
        self._has_gaps = True
        self._lost_since_proposal += lines
        for trial in self._trials.values():
            trial.is_doubtful = not trial.is_finished

    def _take(self, event: Event) -> bool:
        if isinstance(event, TrialProposed):
            self._state.apply(event)
            self._trials[event.number] = _Seen(event.config.get("training", {}).get("max_epochs"))
            self._lost_since_proposal = 0
        elif isinstance(event, TrialStarted | EpochEnded | TrialFinished):
            problem = self._problem(event)
            if problem is not None:
                self.dropped += 1
                return False
            self._state.apply(event)
        elif isinstance(event, ChampionPicked | ChampionLogged | TestOpened) and event.number not in self._trials:
            self.lost_trials.add(event.number)
            self.dropped += 1
            return False
        else:
            self._state.apply(event)
        self.events.append(event)
        return True

    def _problem(self, event: TrialStarted | EpochEnded | TrialFinished) -> str | None:
        """Why the event cannot be kept."""
        number = event.number
        trial = self._trials.get(number)
        if trial is None:
            self.lost_trials.add(number)
            return "its proposal is lost"
        if number not in self.changed_trials:
            hole = trial.hole_before(event)
            if hole is None:
                trial.take(event)
                return None
            self.changed_trials[number] = hole
        if isinstance(event, TrialFinished):
            self._ended.add(number)
        return self.changed_trials[number]


@dataclass
class _Seen:
    """What is left of a trial."""

    max_epochs: int | None
    epochs: int = 0
    is_finished: bool = False
    is_doubtful: bool = field(default=False)
    """Whether lines were lost since its last epoch, while it was under way."""

    def hole_before(self, event: TrialStarted | EpochEnded | TrialFinished) -> str | None:
        """What must be missing, or may be, between the trial's events so far and this one."""
        if isinstance(event, EpochEnded) and event.epoch > self.epochs + 1:
            return f"epoch {self.epochs + 1} is lost"
        if isinstance(event, TrialFinished) and self.is_doubtful and event.state in ("completed", "stopped"):
            if event.state == "stopped" or self.epochs != self.max_epochs:
                return f"an epoch after epoch {self.epochs} may be lost"
        return None

    def take(self, event: TrialStarted | EpochEnded | TrialFinished) -> None:
        """Take one of its events in."""
        if isinstance(event, EpochEnded):
            self.epochs, self.is_doubtful = event.epoch, False
        self.is_finished = isinstance(event, TrialFinished)


def _written(kept: _Kept, repaired: JournalRepaired) -> bytes:
    """The whole file: lines of format 1 as they were, all others numbered and chained anew."""
    position, lines = Position(), list(kept.unchecked)
    for line in kept.unchecked:
        position = after_unchecked(position, line)
    line, position = header(position)
    lines.append(line)
    for event in (*kept.events[len(kept.unchecked) :], *kept.failures(), repaired):
        line, position = numbered(position, event.model_dump_json().encode())
        lines.append(line)
    return b"".join(lines)


def _hopeless(folder: StudyFolder, problem: str) -> InputError:
    return InputError(f"{folder.journal} cannot be repaired: {problem}. Put the file back from a backup")


def _free_name(journal: Path) -> Path:
    number = 1
    while (path := journal.with_name(f"{journal.name}.damaged-{number}")).exists():
        number += 1
    return path

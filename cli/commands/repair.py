"""`repair`: recover what is left of a damaged journal."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.display.output import say
from cli.options import Storage, StudyName
from tuning.storage.paths import DEFAULT_STORAGE

if TYPE_CHECKING:
    from tuning.storage.repair import Repair

_SHOWN = 20
"""Maximum lines of a list to print."""


def repair(
    name: StudyName,
    yes: Annotated[bool, typer.Option("--yes", help="Repair without asking.")] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Show what is damaged in a study's journal and what would be lost, then repair it. The damaged file is kept."""
    from tuning.storage.catalog import find_study
    from tuning.storage.repair import repair as repair_journal

    folder = find_study(storage, name)

    def approve(found: "Repair") -> bool:
        _print(found)
        return yes or (sys.stdin.isatty() and typer.confirm("repair it?"))

    done = repair_journal(folder, approve)
    if done is None:
        say(f"nothing to repair: every line of {folder.journal} is intact")
        return
    say(f"repaired; the damaged journal is kept as {done.kept_as}")
    say(f"go on with `{folder.command('resume')}`, or see `{folder.command('results')}`")


def _print(found: "Repair") -> None:
    _print_list("problems:", found.problems)
    say(f"{found.lines_lost} events cannot be recovered" if found.lines_lost else "every event can be recovered")
    _print_list("consequences:", found.consequences)


def _print_list(heading: str, lines: tuple[str, ...]) -> None:
    if lines:
        say(heading)
    for line in lines[:_SHOWN]:
        say(f"  {line}")
    if len(lines) > _SHOWN:
        say(f"  and {len(lines) - _SHOWN} more")

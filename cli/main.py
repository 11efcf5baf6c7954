"""The console command: every subcommand, and what an error becomes at the shell.

Exit codes: 0 done, 1 the study failed, 2 the input is wrong, 130 interrupted. Modules imported here import nothing
heavy themselves, so that `tune-cli --help` answers at once.
"""

import sys
import traceback
import unicodedata
from types import TracebackType

import typer

from cli.commands import data, holdout, pick, plan, repair, results, run, status, sync, ui, zoo
from cli.display.output import say_aside
from cli.packages import check_packages
from trainables.errors import InputError, StudyInterruptedError, TuneError

app = typer.Typer(
    help="Search for the best image classifier: one YAML file, one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("resume")(run.resume)
app.command("plan")(plan.plan)
app.command("results")(results.results)
app.command("pick")(pick.pick)
app.command("test")(holdout.open_test)
app.command("status")(status.status)
app.command("stop")(status.stop)
app.command("repair")(repair.repair)
app.command("sync")(sync.sync)
app.command("ui")(ui.ui)
app.command("zoo")(zoo.zoo)

_data = typer.Typer(help="Prepare and look at a study's images.", no_args_is_help=True)
_data.command("prepare")(data.prepare)
_data.command("info")(data.info)
app.add_typer(_data, name="data")


def main() -> None:
    """Run the command line; an error meant for a person ends in its message and an exit code, not in a traceback."""
    sys.excepthook = _say_traceback
    try:
        _check_arguments(sys.argv[1:])
        check_packages()
        app(prog_name="tune-cli")
    except TuneError as error:
        say_aside(str(error))
        sys.exit(_exit_code(error))


def _check_arguments(arguments: list[str]) -> None:
    """Refuse escape sequences, which a shell's `*` may have taken from a file's name: typer repeats arguments as such.

    Raises:
        InputError: shows the argument.
    """
    for argument in arguments:
        if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in argument):
            raise InputError(
                f"the argument '{argument}' holds control characters; write it without them (a file of such a name has "
                "to be renamed)"
            )


def _say_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of an error that nobody foresaw; its message may hold anything."""
    say_aside("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"))


def _exit_code(error: TuneError) -> int:
    if isinstance(error, InputError):
        return 2
    return 130 if isinstance(error, StudyInterruptedError) else 1

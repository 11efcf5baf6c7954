"""The console command: every subcommand, and what an error or a signal becomes at the shell.

Exit codes: 0 done, 1 the study failed, 2 the input is wrong, 130 interrupted. Modules imported here import nothing
heavy themselves, so that `tune-cli --help` answers at once.
"""

import sys

import typer

from cli import results, run, status
from cli.packages import check_packages
from trainables.errors import InputError, TuneError

app = typer.Typer(
    help="Search for the best image classifier: one YAML file, one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command()(run.resume)
app.command()(results.results)
app.command()(status.status)
app.command()(status.stop)


def main() -> None:
    """Run the command line; errors meant for a person end in their message and an exit code, not in a traceback."""
    try:
        check_packages()
        app(prog_name="tune-cli")
    except TuneError as error:
        print(error, file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)

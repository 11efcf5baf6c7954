"""Commands that messages suggest: they parse when pasted, and name the same study."""

import shlex
from pathlib import Path

import pytest
import typer

from cli.main import app
from tuning.preparation import StudyLocations
from tuning.storage.paths import DEFAULT_STORAGE, StudyFolder, command_line

VERBS = ["resume", "results", "pick", "test", "status", "stop", "sync"]


def parse(command: str) -> dict[str, object]:
    """What the program would make of a command, without running it."""
    program, verb, *arguments = shlex.split(command)
    assert program == "tune-cli"
    group = typer.main.get_command(app)
    chosen = group.commands[verb]  # type: ignore[attr-defined]  # typer types it as any command
    return dict(chosen.make_context(verb, arguments).params)


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_names_study_and_storage_whatever_their_names(verb: str) -> None:
    storage = Path("/my 'own' $HOME; studies")
    parameters = parse(StudyFolder(storage, "digits-cnn").command(verb))
    assert (parameters["name"], parameters["storage"]) == ("digits-cnn", storage)


def test_the_default_storage_is_left_out() -> None:
    assert StudyFolder(DEFAULT_STORAGE, "s").command("resume") == "tune-cli resume s"


def test_a_command_repeats_the_options_that_it_takes() -> None:
    folder = StudyLocations(Path("my studies"), "sqlite:///my runs.db", "auto").folder("s")
    assert folder.command("resume") == (
        "tune-cli resume s --tracking-uri 'sqlite:///my runs.db' --address auto --storage 'my studies'"
    )
    assert parse(folder.command("resume"))["tracking_uri"] == "sqlite:///my runs.db"
    for verb in VERBS:
        parse(folder.command(verb))
    ui = parse(folder.command("ui"))
    assert (ui["storage"], ui["tracking_uri"]) == (Path("my studies"), "sqlite:///my runs.db")


def test_a_password_is_never_repeated() -> None:
    folder = StudyLocations(Path("studies"), "https://me:secret@mlflow.example").folder("s")
    assert folder.command("sync") == "tune-cli sync s"


def test_the_options_do_not_make_another_study() -> None:
    assert StudyLocations(Path("a"), "http://x", "auto").folder("s") == StudyFolder(Path("a"), "s")


def test_a_command_without_a_study() -> None:
    assert parse(command_line("run", "FILE", storage=Path("a b")))["file"] == Path("FILE")

"""`run` and `resume`: start or resume a study."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.options import Address, Json, Set, Storage, StudyFile, StudyName, TimeBudget, TrackingUri, Verbose
from trainables.errors import InputError
from tuning.storage.paths import DEFAULT_STORAGE

if TYPE_CHECKING:
    from search_spaces.schema import StudyConfig
    from tuning.storage.paths import StudyFolder


def run(
    file: StudyFile,
    set_: Set = None,
    name: Annotated[str | None, typer.Option(help="Override the study's name.", show_default=False)] = None,
    trials: Annotated[int | None, typer.Option(help="Trials to train.", show_default=False)] = None,
    time_budget: TimeBudget = None,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
    address: Address = None,
    resume: Annotated[
        Literal["auto"] | None,
        typer.Option(help="`auto`: resume the study of this name if it exists.", show_default=False),
    ] = None,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="With `--resume auto`: resume with the changed file if results stay comparable.",
        ),
    ] = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Run a study file: search, then register the champion."""
    from cli.display.output import result_alone
    from cli.display.summary import print_summary
    from cli.display.watch import watch
    from search_spaces.loading import load_study
    from tuning.storage.catalog import require_free_name
    from tuning.storage.paths import StudyFolder
    from tuning.tracking.state import repeating

    if accept_changes and resume is None:
        raise InputError("--accept-changes needs --resume auto: it applies to a resumed study")
    given = {"name": name, "search.trials": trials, "search.time_budget": time_budget}
    overrides = [*(set_ or []), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    config = load_study(file, overrides)
    folder = repeating(StudyFolder(storage, config.name), tracking_uri, address)
    goes_on = resume == "auto" and folder.journal.exists()
    if goes_on:
        config = _going_on(folder, config, accept_changes)
    else:
        require_free_name(storage, config.name)
    with result_alone(json) as show:
        with (
            _shown(verbose, tracking_uri),
            watch(on_stderr=json, plain=verbose) as observer,
        ):
            from tuning.preparation import StudyLocations
            from tuning.study import resume_study, run_study

            locations = StudyLocations(storage, tracking_uri, address)
            if goes_on:
                resume_study(config.name, locations, observer, changed=config)
            else:
                run_study(config, locations, observer)
        print_summary(folder, show if json else None)


@contextmanager
def _shown(verbose: bool, tracking_uri: str | None) -> Iterator[None]:
    """With `verbose`, print log messages on standard error."""
    from cli.display.output import say_aside
    from tuning.storage.driver_log import shown_log

    with shown_log(say_aside, () if tracking_uri is None else (tracking_uri,)) if verbose else nullcontext():
        yield


def _going_on(folder: "StudyFolder", config: "StudyConfig", accept_changes: bool) -> "StudyConfig":
    """Configuration to resume the study with, given its current file."""
    from cli.studies import open_study
    from tuning.changes import going_on

    begun = open_study(folder.storage, folder.name).record.config
    return going_on(folder, begun, config, accept_changes=accept_changes)


def resume(
    name: StudyName,
    trials: Annotated[
        str | None, typer.Option(metavar="+N", help="Train N more trials than the study has.", show_default=False)
    ] = None,
    time_budget: TimeBudget = None,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
    address: Address = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Finish an interrupted study, or extend a finished one."""
    from cli.display.output import result_alone
    from cli.display.summary import print_summary
    from cli.display.watch import watch
    from tuning.storage.catalog import find_study
    from tuning.tracking.state import repeating

    more_trials, more_seconds = _more_trials(trials), _more_seconds(time_budget)
    folder = repeating(find_study(storage, name), tracking_uri, address)
    with result_alone(json) as show:
        with _shown(verbose, tracking_uri), watch(on_stderr=json, plain=verbose) as observer:
            from tuning.preparation import StudyLocations
            from tuning.study import resume_study

            locations = StudyLocations(storage, tracking_uri, address)
            resume_study(name, locations, observer, more_trials=more_trials, more_seconds=more_seconds)
        print_summary(folder, show if json else None)


def _more_trials(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.startswith("+") and text[1:].isdecimal() and int(text) > 0):
        raise InputError(f"--trials {text}: write how many trials to add, for example --trials +20")
    return int(text)


def _more_seconds(text: str | None) -> float:
    from pydantic import TypeAdapter, ValidationError

    from search_spaces.schema import Duration

    if text is None:
        return 0.0
    try:
        return TypeAdapter[float](Duration).validate_python(text.removeprefix("+"))
    except ValidationError as error:
        raise InputError(f"--time-budget {text}: write the time to add, for example 90s, 30m, 8h, 1h30m") from error

"""`status` and `stop`: check on or stop a study's driver from another terminal."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.display.output import say
from cli.options import Storage, StudyName
from trainables.errors import InputError, StudyFailedError
from tuning.storage.paths import DEFAULT_STORAGE

if TYPE_CHECKING:
    from cli.studies import OpenedStudy
    from tuning.storage.lock import LockOwner

_STOP_SECONDS = 120.0
"""Time limit for a driver to stop its workers and write its last event."""


def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A study; default: all.")] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Show whether a study is running, interrupted or finished, or its driver died."""
    from cli.studies import open_study
    from tuning.storage.catalog import study_names

    names = study_names(storage) if name is None else [name]
    if not names:
        say(f"no studies in {storage}/")
    for position, study in enumerate(names):
        if position:
            say()
        if name is None:
            _print_one_of_many(storage, study)
        else:
            _print(open_study(storage, study), storage)


def stop(name: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Ask a study's driver to stop cleanly, and wait for it; `resume` continues from there."""
    from cli.studies import open_study
    from tuning.storage.catalog import find_study
    from tuning.storage.lock import holds_lock, lock_owner

    folder = find_study(storage, name)
    go_on = f"`{folder.command('resume')}`"
    driver = lock_owner(folder)
    if driver is None or not driver.alive:
        say(f"nothing to stop: no driver works on study {name}")
        return
    if driver.pid is None:
        raise InputError(
            f"a process works on study {name!r}, but {folder.lock} does not say which: the file is damaged. "
            f"`fuser {folder.lock}` names the process; `kill` it"
        )
    if driver.host != socket.gethostname():
        raise InputError(
            f"the driver of study {name!r} is process {driver.pid} on {driver.host}; "
            f"run `{folder.command('stop')}` there, or `kill {driver.pid}`"
        )
    if not holds_lock(folder, driver.pid):
        raise InputError(
            f"{folder.lock} names process {driver.pid}, which does not have that file open: nothing was stopped. "
            f"`fuser {folder.lock}` names the process that works on study {name!r}"
        )
    os.kill(driver.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while (now := lock_owner(folder)) is not None and now.alive and now.pid == driver.pid:
        if time.monotonic() > deadline:
            raise StudyFailedError(
                f"process {driver.pid} has not ended {_STOP_SECONDS:.0f} s after SIGTERM; "
                f"`kill -9 {driver.pid}` ends it at once, and {go_on} goes on without loss"
            )
        time.sleep(0.2)
    if open_study(storage, name).driver_died:
        raise StudyFailedError(f"the driver of study {name!r} ended without recording the end; go on with {go_on}")
    say(f"study {name} stopped; go on with {go_on}")


def _print_one_of_many(storage: Path, name: str) -> None:
    """One unreadable journal must not hide the other studies."""
    from cli.studies import open_study

    try:
        _print(open_study(storage, name), storage)
    except InputError as error:
        say(f"{name}: unreadable: {error}")


def _print(study: "OpenedStudy", storage: Path) -> None:
    from cli.display import formatting
    from tuning.selection.results import study_results

    found = study_results(study.record, {}, driver_died=study.driver_died)
    say(f"{study.record.config.name}: {_state(study, storage)}")
    wanted = study.record.config.search.trials_in_all
    done = sum(
        trial.state in ("completed", "stopped", "failed") and trial.source != "confirm" for trial in found.trials
    )
    spent = formatting.duration(study.record.search_seconds)
    say(f"  {done} of {wanted} trials in {spent}: {formatting.counts(found.counts())}")
    for caveat in found.caveats:
        say(f"  warning: {caveat}")
    if found.champion is not None:
        value = formatting.metric(found.objective, found.champion.value)
        say(f"  best {found.objective} {value}, trial {found.champion.number}")
    for line in _mirror_lines(study):
        say(f"  {line}")


def _mirror_lines(study: "OpenedStudy") -> list[str]:
    """What MLflow lacks and why. A running driver may be a few events ahead, which is not shown."""
    from cli.display import formatting
    from tuning.tracking.state import events_waiting, read_problem, read_state, repeating

    problem, lines = read_problem(study.folder), []
    if problem is not None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(problem.failing_since))
        ago = formatting.duration(max(0.0, time.time() - problem.failing_since))
        lines.append(
            f"MLflow at {problem.tracking_uri} has not accepted data since {since}, {ago} ago: {problem.problem}"
        )
    waiting = events_waiting(study.folder, read_state(study.folder))
    if waiting and not (study.driver is not None and study.driver.alive):
        given = None if problem is None or "***" in problem.tracking_uri else problem.tracking_uri
        sync = repeating(study.folder, given).command("sync")
        lines.append(f"{waiting} events are not in MLflow; `{sync}` writes them")
    return lines


def _state(study: "OpenedStudy", storage: Path) -> str:
    go_on = f"go on with `{study.folder.command('resume')}`"
    if study.driver is not None and study.driver.alive:
        return f"running ({_driver(study.driver)})"
    if study.driver_died:
        who = "" if study.driver is None else f" ({_driver(study.driver)})"
        return f"driver died{who}; {go_on}"
    reason = f": {study.record.reason}" if study.record.reason else ""
    return f"{study.record.state}{reason}" + ("" if study.record.state == "finished" else f"; {go_on}")


def _driver(driver: "LockOwner") -> str:
    from cli.display import formatting

    ago = formatting.duration(max(0.0, time.time() - driver.heartbeat))
    if driver.pid is None:
        return f"its lock file is damaged, last heartbeat {ago} ago"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(driver.since))
    return f"process {driver.pid} on {driver.host}, since {since}, last heartbeat {ago} ago"

"""`driver.log`: what gets there, what never does, and how large it may become."""

import logging
import os
import re
import stat
import warnings
from pathlib import Path

import pytest

from trainables.data.cache_folder import CacheWarning
from trainables.errors import InputError, StudyFailedError, UnsafePathError
from tuning.storage import driver_log as module
from tuning.storage.driver_log import driver_log, shown_log
from tuning.storage.journal import EpochEnded, StudyEnded, TrialFinished
from tuning.storage.logged_observer import LoggedObserver
from tuning.storage.observer import Silent
from tuning.storage.paths import StudyFolder

_SECRET = "hunter2-and-more"
logger = logging.getLogger("tuning.somewhere")


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "studies", "s")
    folder.path.mkdir(parents=True)
    return folder


def test_lines_have_time_level_and_place_and_drivers_append(folder: StudyFolder) -> None:
    for number in (1, 2):
        with driver_log(folder):
            logger.info("driver %d", number)
    logger.info("nobody listens")
    first, second = folder.log.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO tuning\.somewhere: driver 1", first)
    assert second.endswith("driver 2")
    assert stat.S_IMODE(folder.log.stat().st_mode) == 0o600


def test_libraries_write_there_and_not_to_the_terminal(folder: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    library = logging.getLogger("ray")
    own = logging.StreamHandler()
    library.addHandler(own)
    before = (list(library.handlers), library.level, library.propagate)
    try:
        with driver_log(folder):
            logging.getLogger("ray.tune").warning("something of Ray's")
            logging.getLogger("optuna.study").info("not worth a line")
        assert (list(library.handlers), library.level, library.propagate) == before
    finally:
        library.removeHandler(own)
    assert folder.log.read_text().endswith("WARNING ray.tune: something of Ray's\n")
    assert "not worth" not in folder.log.read_text()
    assert capsys.readouterr().err == ""


def test_python_warnings_are_logged_and_the_programs_own_are_shown_as_well(folder: StudyFolder) -> None:
    with warnings.catch_warnings(record=True) as shown, driver_log(folder):
        warnings.simplefilter("always")
        warnings.warn("made anew", CacheWarning, stacklevel=1)
        warnings.warn("a library's", RuntimeWarning, stacklevel=1)
    assert [warning.category for warning in shown] == [CacheWarning]
    assert "CacheWarning: made anew" in folder.log.read_text()
    assert "RuntimeWarning: a library's" in folder.log.read_text()


def test_a_message_cannot_look_like_another_record_or_act_on_a_terminal(folder: StudyFolder) -> None:
    with driver_log(folder):
        logger.warning("server says: \x1b[2J\u202e\n2026-01-01T00:00:00.000Z INFO tuning.study: all is well")
    first, second = folder.log.read_text().splitlines()
    assert first.endswith(r"server says: \x1b[2J\u202e")
    assert second.startswith("    2026-01-01")


def test_a_link_is_not_followed(folder: StudyFolder, tmp_path: Path) -> None:
    folder.log.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePathError), driver_log(folder):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_its_size_is_bounded(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 10_000)
    with driver_log(folder):
        for number in range(1000):
            logger.info("record %d %s", number, "x" * 100)
        logger.info("y" * 1_000_000)
    assert sorted(path.name for path in folder.path.iterdir()) == ["driver.log", "driver.log.1"]
    sizes = [path.stat().st_size for path in folder.path.iterdir()]
    assert sum(sizes) < 2 * 10_000 + 70_000
    assert "characters left out" in folder.log.read_text()


def test_a_full_disk_costs_records_and_not_the_study(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> os.stat_result:
        raise OSError(28, "No space left on device")

    with driver_log(folder):
        logger.info("one")
        with monkeypatch.context() as patched:
            patched.setattr(module.os, "fstat", full)
            logger.info("two")
            logger.info("three")
        logger.info("four")
    text = folder.log.read_text()
    assert "two" not in text
    assert "2 records before the next one could not be written" in text
    assert text.endswith("four\n")


@pytest.mark.parametrize(
    "text",
    [
        f"cannot read /images/{_SECRET}/train",
        f"http://me:{_SECRET}@server:5000/api refused",
        f"authentication of me with {_SECRET} failed",
        f"GET /api?token={_SECRET}&x=1",
        f"RAY_AUTH_TOKEN={_SECRET}",
    ],
)
@pytest.mark.parametrize("where", ["environment", "option"])
def test_secrets_do_not_get_there(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, text: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://me:{_SECRET}@server:5000"
    if where == "environment":
        monkeypatch.setenv("SHARE_TOKEN", _SECRET)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    addresses = (address,) if where == "option" else ()
    shown: list[str] = []
    with shown_log(shown.append, addresses), pytest.raises(StudyFailedError) as failed, driver_log(folder, addresses):
        logger.warning("%s", text)
        raise KeyError(text)
    everything = "".join([folder.log.read_text(), *shown, str(failed.value), capsys.readouterr().err])
    assert "KeyError" in everything
    assert _SECRET not in everything


def test_a_percent_encoded_password_is_found_decoded(folder: StudyFolder) -> None:
    with driver_log(folder, ("postgresql://me:p%40ssword@server/db",)):
        logger.warning("no entry for me, p@ssword, p%40ssword")
    assert "ssword" not in folder.log.read_text()


def test_switches_whose_names_look_like_a_secret_leave_words_alone(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    with driver_log(folder):
        logger.info("pretrained: false")
    assert "pretrained: false" in folder.log.read_text()


def test_an_unforeseen_error_is_in_the_log_whole_and_said_in_a_sentence(folder: StudyFolder) -> None:
    with pytest.raises(StudyFailedError) as failed, driver_log(folder):
        raise ZeroDivisionError("division by zero")
    assert "ZeroDivisionError: division by zero" in str(failed.value)
    assert str(folder.log) in str(failed.value)
    assert folder.command("resume") in str(failed.value)
    assert "\n" not in str(failed.value)
    assert "Traceback (most recent call last)" in folder.log.read_text()


def test_a_foreseen_error_stays_what_it_is(folder: StudyFolder) -> None:
    with pytest.raises(InputError, match="no such file"), driver_log(folder):
        raise InputError("no such file")
    assert "ERROR tuning.storage.driver_log: InputError: no such file" in folder.log.read_text()
    assert "Traceback" not in folder.log.read_text()


def test_what_an_observer_hears(folder: StudyFolder) -> None:
    observer = LoggedObserver(Silent())
    with driver_log(folder):
        observer.phase("searching")
        observer.warning("the disk is full")
        for number in (0, 1):
            observer.event(EpochEnded(number=number, epoch=1, metrics={}, host="node-1", versions={"torch": "2.0"}))
        observer.event(TrialFinished(number=0, state="failed", reason="nan", duration_s=1.0))
        observer.event(StudyEnded(state="finished", reason="every trial is done"))
    said = [line.split(": ", 1)[1] for line in folder.log.read_text().splitlines()]
    assert said == [
        "searching",
        "the disk is full",
        "trial 0 runs on node-1",
        "workers on node-1: torch 2.0",
        "trial 1 runs on node-1",
        "trial 0 failed: nan",
        "study finished: every trial is done",
    ]


def test_a_record_that_cannot_be_formatted_does_no_harm(folder: StudyFolder) -> None:
    with driver_log(folder):
        record = logging.LogRecord("ray", logging.WARNING, "file.py", 1, "%d trials", ("seven",), None)
        logging.getLogger().handlers[-1].handle(record)  # not by a logger: pytest's handlers would fail
    assert "a record of ray (" in folder.log.read_text()
    assert "has no text: TypeError" in folder.log.read_text()


def test_a_closed_terminal_does_not_end_the_study(folder: StudyFolder) -> None:
    def broken(text: str) -> None:
        raise BrokenPipeError

    with shown_log(broken), driver_log(folder):
        logger.info("still written")
    assert "still written" in folder.log.read_text()

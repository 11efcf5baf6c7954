"""What `resume` refuses, and what `status` says of a driver that died."""

import shutil

import pytest

from tests.faults.disturbed import Disturbed
from tuning.storage.journal import Journal, journal_end
from tuning.storage.journal_lines import numbered


@pytest.mark.slow
def test_second_driver_dead_driver_newer_version_and_other_names(workplace: Disturbed) -> None:
    process = workplace.start(
        "run", "small.yaml", "--set", "training.max_epochs=2000", "--set", "search.scheduler=none"
    )
    workplace.wait_for("epoch_ended", 1, process)
    assert f"is being worked on by process {process.pid}" in _refused(workplace, "resume", "small")
    assert "running (process" in workplace.run("status", "small")
    assert process.poll() is None

    workplace.kill_driver(process)
    status = workplace.run("status", "small")
    assert f"driver died (process {process.pid}" in status
    assert "last heartbeat" in status
    assert "nothing to stop" in workplace.run("stop", "small")

    assert "did you mean small?" in _refused(workplace, "resume", "smal")
    (workplace.folder / "studies" / "notes").mkdir()
    assert "is not a study of this program" in _refused(workplace, "resume", "notes")

    newer = workplace.folder / "studies" / "newer"
    shutil.copytree(workplace.journal.parent, newer)
    opened = workplace.events()[0].model_copy(update={"version": "999.1"})
    journal = Journal(newer / "journal.jsonl")
    journal.append(opened)
    journal.close()
    assert "version 999.1" in _refused(workplace, "resume", "newer")
    content, end = workplace.journal.read_bytes(), journal_end(workplace.journal)
    dreamt, _ = numbered(end, b'{"event":"trial_dreamt","time":1.0}')
    (newer / "journal.jsonl").write_bytes(content + dreamt)
    assert "an event of another version of this program" in _refused(workplace, "resume", "newer")


def _refused(workplace: Disturbed, *arguments: str) -> str:
    """What the program says when it ends with exit code 2."""
    process = workplace.start(*arguments)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    return errors

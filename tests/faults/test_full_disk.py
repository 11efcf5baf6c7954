"""A full disk, on a file system of a few megabytes: warnings while it lasts, a clean end if it must, and no loss."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disturbed import Disturbed, fill, finishes, wait_until
from tuning.storage.journal import EpochEnded, Journal, TrialFinished, read_events

SETTINGS = ("--set", "search.scheduler=none", "--set", "resources.max_concurrent=1", "--set", "training.max_epochs=60")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB, mounted at `tmp_path/studies`."""
    place = tmp_path / "studies"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_journal_refused_by_a_full_disk_is_as_before(small_disk: Path) -> None:
    journal = Journal(small_disk / "journal.jsonl")
    fill(small_disk, leave=8192).rename(small_disk / "full")
    event = TrialFinished(number=0, state="failed", reason="x" * 1000)
    with pytest.raises(OSError, match="No space left"):
        while True:
            journal.append(event, event, event)
    content = journal.path.read_bytes()
    assert content.endswith(b"\n")  # although a part of the last events was taken
    assert len(list(read_events(journal.path))) % 3 == 0
    (small_disk / "full").unlink()
    journal.append(event)
    journal.close()
    written = journal.path.read_bytes()
    assert written.startswith(content)
    assert written.count(b"\n") == content.count(b"\n") + 1
    assert [event for event, _ in read_events(journal.path)][-1] == event


@pytest.mark.slow
def test_disk_full_for_a_while_and_then_for_good(small_disk: Path, workplace: Disturbed, tmp_path: Path) -> None:
    store = ("--tracking-uri", workplace.store)
    process = workplace.start("run", "small.yaml", *store, *SETTINGS, "--trials", "2")
    workplace.wait_for("epoch_ended", 5, process)
    filler = fill(small_disk, leave=12_000)  # too little for a checkpoint; the journal goes on for a while
    wait_until(lambda: _warnings(workplace), process)
    filler.unlink()
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert "could not be written (No space left on device)" in _warnings(workplace)[0]
    assert "could not be written (No space left on device)" in output + errors
    assert all(
        (workplace.study.trial_checkpoints(trial.number) / "best.pt").exists() for trial in workplace.record().trials
    )

    process = workplace.start("resume", "small", *store, "--trials", "+2")
    workplace.wait_for("epoch_ended", 60 * 2 + 5, process)
    filler = fill(small_disk, leave=0)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, output + errors
    assert "cannot be written (No space left on device)" in errors
    assert "tune-cli resume small" in errors
    assert "Traceback" not in errors
    before = workplace.record()
    assert [trial.number for trial in before.trials if trial.is_finished] == [0, 1]
    assert '"number": 2' in workplace.run("results", "small", "--json")
    filler.unlink()
    workplace.run("resume", "small", *store)
    after = workplace.record()
    assert after.state == "finished"
    assert after.trials[:2] == before.trials[:2]
    assert [len(trial.epochs) for trial in after.trials] == [60] * 4
    assert set(finishes(workplace.events()).values()) == {1}
    assert set(workplace.child_runs()) == set(range(4))


def _warnings(workplace: Disturbed) -> list[str]:
    return [event.warning for event in workplace.events() if isinstance(event, EpochEnded) and event.warning]

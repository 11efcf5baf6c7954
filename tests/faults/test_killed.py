"""`kill -9` of workers and drivers: nothing is lost, nothing finished is trained again, the numbers are the same."""

import random
import time
from collections import Counter

import pytest

from tests.faults.disturbed import Disturbed, Losses, course, finishes
from tuning.journal import TrialStarted

ONE_WORKER = ("--set", "resources.max_concurrent=1", "--set", "training.max_epochs=4", "--set", "search.trials=10")
"""Trials one after another, so that what the search proposes depends on nothing but the seed."""

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    workplace = Disturbed(tmp_path_factory.mktemp("undisturbed"))
    workplace.run("run", "small.yaml", *ONE_WORKER)
    return workplace


@pytest.mark.timeout(900)
def test_driver_killed_at_ten_random_moments(workplace: Disturbed, undisturbed: Disturbed) -> None:
    chance = random.Random(0)
    losses, before = Losses(), None
    for kill in range(10):
        # `--resume auto` starts or goes on: what a job system repeats.
        process = workplace.start("run", "small.yaml", "--resume", "auto", *ONE_WORKER)
        if kill in (3, 6):  # while it starts up
            time.sleep(chance.uniform(1.0, 8.0))
        else:
            target = len(workplace.events()) + chance.randint(1, 7)
            while len(workplace.events()) < target:
                assert process.poll() is None, (kill, process.communicate())
            time.sleep(chance.uniform(0.0, 0.3))
        workplace.kill_driver(process)
        workplace.note(losses, before)
        before = workplace.record() if workplace.events() else None
    workplace.run("resume", "small")

    assert losses.kills == 10
    assert (losses.finished_rerun, losses.trials_lost) == (0, 0)
    assert max(losses.epochs_repeated) == 1, losses
    assert set(finishes(workplace.events()).values()) == {1}
    assert set(workplace.child_runs()) == set(range(10))  # and none twice: `child_runs` sees to it
    assert course(workplace.record()) == course(undisturbed.record())


def test_worker_killed_in_mid_epoch(workplace: Disturbed, undisturbed: Disturbed) -> None:
    process = workplace.start("run", "small.yaml", *ONE_WORKER)
    for epochs in (2, 9):
        workplace.wait_for("epoch_ended", epochs, process)
        workplace.kill_worker(process)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    starts = Counter(event.number for event in workplace.events() if isinstance(event, TrialStarted))
    # Each kill had one trial taken up again; one that fell between two trials had none to interrupt.
    assert 10 + 1 <= sum(starts.values()) <= 10 + 2
    assert set(finishes(workplace.events()).values()) == {1}
    assert set(workplace.child_runs()) == set(range(10))
    assert course(workplace.record()) == course(undisturbed.record())


def test_journal_cut_at_every_byte_of_its_last_events(undisturbed: Disturbed, workplace: Disturbed) -> None:
    """A driver killed while it writes leaves a line cut short: every such state is read and taken up."""
    whole = undisturbed.journal.read_bytes()
    until = whole.index(b'"trial_finished"', whole.index(b'"trial_finished"') + 1)
    until = whole.index(b"\n", whole.index(b'"trial_proposed"', until)) + 1
    workplace.journal.parent.mkdir(parents=True)
    lines = whole[:until].splitlines(keepends=True)
    for cut in range(until - len(lines[-1]) - len(lines[-2]), until + 1):
        workplace.journal.write_bytes(whole[:cut])
        assert len(workplace.events()) == whole[:cut].count(b"\n")
        assert len(workplace.record().trials) in (2, 3)
    workplace.journal.write_bytes(whole[: until - len(lines[-1]) // 2])
    workplace.run("resume", "small")
    assert course(workplace.record()) == course(undisturbed.record())
    assert set(workplace.child_runs()) == set(range(10))

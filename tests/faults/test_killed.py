"""`kill -9` of workers and drivers: nothing is lost, nothing finished is trained again, the numbers are the same."""

import random
import shutil
import time

import pytest

from tests.faults.disturbed import Disturbed, Losses, course, finishes, wait_until
from tuning.storage.journal import EpochEnded, Event, TrialStarted

ONE_WORKER = (
    *("--set", "resources.max_concurrent=1"),
    *("--set", "search.trials=10"),
    *("--set", "training.max_epochs=4"),
    *("--set", "training.batch_size=8"),
)
"""Trials one after another, so that what the search proposes depends on nothing but the seed; small batches, so that an
epoch takes long enough to be hit in the middle."""

pytestmark = pytest.mark.slow


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
        if kill in (0, 2, 5, 7, 8):  # while it starts up
            time.sleep(chance.uniform(0.0, 6.0))
        else:
            # Five times at most five events, of which two are not new: fewer than the study has.
            target = len(workplace.events()) + chance.randint(1, 5)
            while len(workplace.events()) < target:
                assert process.poll() is None, (kill, process.communicate())
            time.sleep(chance.uniform(0.0, 0.3))
        workplace.kill_driver(process)
        workplace.note(losses, before)
        before = workplace.record() if workplace.events() else None
    workplace.run("run", "small.yaml", "--resume", "auto", *ONE_WORKER)

    assert losses.kills == 10
    assert (losses.finished_rerun, losses.trials_lost) == (0, 0)
    assert max(losses.epochs_repeated) == 1, losses
    assert set(finishes(workplace.events()).values()) == {1}
    assert set(workplace.child_runs()) == set(range(10))  # and none twice: `child_runs` sees to it
    assert course(workplace.record()) == course(undisturbed.record())


def test_worker_killed_in_mid_epoch(workplace: Disturbed, undisturbed: Disturbed) -> None:
    process = workplace.start("run", "small.yaml", *ONE_WORKER)
    victims = []
    for is_in_mid_epoch in (_third_epoch_under_way, _fifth_trial_begun):
        wait_until(lambda now=is_in_mid_epoch: now(workplace.events()), process)
        workplace.kill_worker(process)
        victims.append(_starts(workplace)[-1])
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    # The trial whose worker died is the next to be handed out, and no other is begun again.
    assert _starts(workplace) == sorted([*range(10), *victims])
    assert set(finishes(workplace.events()).values()) == {1}
    assert set(workplace.child_runs()) == set(range(10))
    assert course(workplace.record()) == course(undisturbed.record())


def _starts(workplace: Disturbed) -> list[int]:
    """Numbers of trials in the order in which workers took them up."""
    return [event.number for event in workplace.events() if isinstance(event, TrialStarted)]


def _third_epoch_under_way(events: list[Event]) -> bool:
    """Where the scheduler stops nothing."""
    return bool(events) and isinstance(events[-1], EpochEnded) and events[-1].epoch == 2


def _fifth_trial_begun(events: list[Event]) -> bool:
    return isinstance(events[-1], TrialStarted) and events[-1].number >= 4


def test_journal_cut_at_every_byte_of_its_last_events(undisturbed: Disturbed, workplace: Disturbed) -> None:
    """A driver killed while it writes leaves a line cut short: every such state is read and taken up."""
    whole = undisturbed.journal.read_bytes()
    until = whole.index(b"\n", whole.rindex(b'"trial_proposed"')) + 1
    shutil.copytree(undisturbed.study.checkpoints, workplace.study.checkpoints)
    lines = whole[:until].splitlines(keepends=True)
    assert b'"trial_finished"' in lines[-2]
    for cut in range(until - len(lines[-1]) - len(lines[-2]), until + 1):
        workplace.journal.write_bytes(whole[:cut])
        assert len(workplace.events()) == whole[:cut].count(b"\n") - 1  # the header is no event
        assert len(workplace.record().trials) in (9, 10)
    workplace.journal.write_bytes(whole[: until - len(lines[-1]) // 2])
    workplace.run("resume", "small")
    assert course(workplace.record()) == course(undisturbed.record())
    assert set(workplace.child_runs()) == set(range(10))

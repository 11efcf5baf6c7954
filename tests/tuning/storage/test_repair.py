"""Repair: what is certain is kept, what is lost is said, and nothing that may be wrong is believed."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.tuning.storage.journals import changed_lines, opened, small_study, trial, written
from trainables.errors import InputError
from tuning.storage.journal import Event, Journal, StudyEnded, read_events
from tuning.storage.journal_lines import numbered
from tuning.storage.lock import study_lock
from tuning.storage.paths import StudyFolder
from tuning.storage.record import StudyRecord, TrialRecord
from tuning.storage.repair import Repair, repair
from tuning.storage.study_state import fold, read_record


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path, "s")


def _repaired(folder: StudyFolder, content: bytes) -> tuple[Repair, StudyRecord]:
    folder.path.mkdir(exist_ok=True)
    folder.journal.write_bytes(content)
    with pytest.raises(InputError):
        read_record(folder.journal)
    done = repair(folder, lambda found: True)
    assert done is not None
    record = read_record(folder.journal)
    (event,) = record.repairs
    assert event.sha256 == hashlib.sha256(content).hexdigest()
    assert (folder.path / event.damaged).read_bytes() == content
    assert event.dropped == done.lines_lost
    assert "the journal was repaired" in record.caveats[0]
    Journal(folder.journal).close()  # as a driver would take it up
    return done, record


def _lines(folder: StudyFolder, events: list[Event]) -> list[bytes]:
    return written(folder.journal, events).read_bytes().splitlines(keepends=True)


def _is_believable(now: TrialRecord, before: TrialRecord) -> bool:
    """The same trial; or one whose damage is said; or one that goes on from what is certain."""
    is_prefix = now.epochs == before.epochs[: len(now.epochs)]
    if now.is_finished and now.state != "failed":
        return now.epochs == before.epochs and now.state == before.state
    return is_prefix and ("damaged journal" in now.reason or not now.is_finished)


def _check(record: StudyRecord, sound: StudyRecord) -> None:
    before = {trial.number: trial for trial in sound.trials}
    (event,) = record.repairs
    assert all(_is_believable(trial, before[trial.number]) for trial in record.trials)
    gone = before.keys() - {trial.number for trial in record.trials}
    assert record.next_number > max(before)
    assert all(number in event.lost or number >= record.next_number - event.dropped - 1 for number in gone)


def test_every_damaged_bit_of_a_line_costs_that_line_at_most(folder: StudyFolder) -> None:
    lines, sound = _lines(folder, small_study()), fold(small_study())
    for at in range(2, len(lines) - 1):
        for byte in range(0, len(lines[at]) - 1, 19):
            flipped = bytes([lines[at][byte] ^ (1 << byte % 3)])
            line = lines[at][:byte] + flipped + lines[at][byte + 1 :]
            done, record = _repaired(folder, b"".join([*lines[:at], line, *lines[at + 1 :]]))
            assert done.problems
            _check(record, sound)


def test_every_line_dropped_doubled_swapped_cut_or_zeroed(folder: StudyFolder) -> None:
    lines, sound = _lines(folder, small_study()), fold(small_study())
    for name, changed in changed_lines(lines):
        folder.journal.write_bytes(b"".join(changed))
        try:
            done, record = _repaired(folder, b"".join(changed))
        except InputError as error:
            assert "study_opened" in str(error), name  # what the study is, is lost
            continue
        _check(record, sound)
        if name.startswith(("doubled", "swapped")):
            assert (done.lines_lost, record.trials) == (0, sound.trials), name


def test_a_damaged_checksum_costs_nothing(folder: StudyFolder) -> None:
    lines = _lines(folder, small_study())
    at = lines[4].index(b'"sum":"') + 7
    digit = b"0" if lines[4][at : at + 1] != b"0" else b"1"
    lines[4] = lines[4][:at] + digit + lines[4][at + 1 :]
    done, record = _repaired(folder, b"".join(lines))
    assert (done.lines_lost, done.consequences) == (0, ())
    assert record.trials == fold(small_study()).trials


def test_a_finished_trial_that_lost_an_epoch_has_failed(folder: StudyFolder) -> None:
    lines = _lines(folder, [opened(1.0), *trial(0, [0.5, 0.9, 0.7], 2.0), *trial(1, [0.5], 20.0)])
    lines[5] = lines[5].replace(b"0.9", b"0.8")
    done, record = _repaired(folder, b"".join(lines))
    assert record.trials[0].state == "failed"
    assert record.trials[0].reason == "epoch 2 is lost (damaged journal)"
    assert [trial.number for trial in record.ranked] == [1]
    assert "trial 0: epoch 2 is lost; it has failed now" in done.consequences


def test_a_trial_whose_last_epoch_may_be_lost_has_failed(folder: StudyFolder) -> None:
    """Three epochs of ten, stopped: whether there was a fourth, better one, nobody knows."""
    events = [opened(1.0), *trial(0, [0.5, 0.9, 0.7, 0.95], 2.0)]
    events[-1] = events[-1].model_copy(update={"state": "stopped"})
    lines = _lines(folder, events)
    lines[7] = lines[7].replace(b"0.95", b"0.85")
    _, record = _repaired(folder, b"".join(lines))
    assert record.trials[0].reason == "an epoch after epoch 3 may be lost (damaged journal)"


def test_a_running_trial_that_lost_an_epoch_goes_on(folder: StudyFolder) -> None:
    lines = _lines(folder, [opened(1.0), *trial(0, [0.5, 0.9, 0.7], 2.0)[:-1]])
    lines[5] = lines[5].replace(b"0.9", b"0.8")
    done, record = _repaired(folder, b"".join(lines))
    assert (record.trials[0].state, len(record.trials[0].epochs)) == ("running", 1)
    assert "trial 0: epoch 2 is lost; `resume` goes on with it" in done.consequences


def test_a_trial_whose_proposal_is_lost_is_lost_and_its_number_is_not_used_again(folder: StudyFolder) -> None:
    events = [opened(1.0), *trial(0, [0.5], 2.0), *trial(1, [0.5], 20.0)]
    lines = _lines(folder, events)
    del lines[6]
    done, record = _repaired(folder, b"".join(lines))
    assert [trial.number for trial in record.trials] == [0]
    assert record.repairs[0].lost == (1,)
    assert record.next_number >= 2
    assert "trial 1 is lost: the line that proposed it is" in done.consequences


def test_the_numbers_of_trials_that_no_line_mentions_any_more_are_not_used_again(folder: StudyFolder) -> None:
    lines = _lines(folder, [opened(1.0), *trial(0, [0.5], 2.0), *trial(1, [0.5], 20.0)])
    zeroed = [*lines[:6], *(bytes(len(line) - 1) + b"\n" for line in lines[6:])]
    _, record = _repaired(folder, b"".join(zeroed))
    assert record.next_number >= 2


def test_the_first_line_is_not_invented(folder: StudyFolder) -> None:
    lines = _lines(folder, small_study()[:6])
    with pytest.raises(InputError, match="cannot be repaired: study_opened, .* is lost"):
        _repaired(folder, b"".join([lines[0], *lines[2:]]))
    assert folder.journal.read_bytes() == b"".join([lines[0], *lines[2:]])


def test_nothing_happens_without_approval_with_a_driver_or_to_a_sound_journal(folder: StudyFolder) -> None:
    lines = _lines(folder, small_study())
    assert repair(folder, lambda found: True) is None
    content = b"".join(lines[:3] + lines[4:])
    folder.journal.write_bytes(content)
    with pytest.raises(InputError, match="--yes"):
        repair(folder, lambda found: False)
    with study_lock(folder), pytest.raises(InputError, match="being worked on"):
        repair(folder, lambda found: True)
    assert folder.journal.read_bytes() == content
    assert not list(folder.path.glob("*damaged*"))


def test_a_line_cut_short_by_a_crash_is_no_damage(folder: StudyFolder) -> None:
    lines = _lines(folder, small_study())
    folder.journal.write_bytes(b"".join(lines)[:-9])
    assert repair(folder, lambda found: True) is None


def test_a_journal_that_was_repaired_can_be_repaired_again(folder: StudyFolder) -> None:
    lines = _lines(folder, small_study())
    for _ in range(2):
        folder.journal.write_bytes(b"".join([*lines[:3], lines[3].replace(b'"number":0', b'"number":1'), *lines[4:]]))
        repair(folder, lambda found: True)
        lines = folder.journal.read_bytes().splitlines(keepends=True)
    assert [event.damaged for event in read_record(folder.journal).repairs] == [
        "journal.jsonl.damaged-1",
        "journal.jsonl.damaged-2",
    ]


def _format_1(events: list[Event]) -> list[bytes]:
    return [event.model_dump_json().encode() + b"\n" for event in events]


def test_a_line_of_format_1_that_is_no_event_is_left_out(folder: StudyFolder) -> None:
    lines = _format_1(small_study())
    lines[3] = b"nonsense\n"
    done, record = _repaired(folder, b"".join(lines))
    assert done.lines_lost >= 1
    assert record.trials[0].state == "failed"
    assert record.unchecked_lines == len([line for line in lines if line in folder.journal.read_bytes()])


def test_damage_of_format_1_that_only_the_lines_after_it_notice_cannot_be_repaired(folder: StudyFolder) -> None:
    folder.path.mkdir()
    folder.journal.write_bytes(b"".join(_format_1(small_study())))
    journal = Journal(folder.journal)
    journal.append(StudyEnded(state="finished", reason="again"))
    journal.close()
    content = folder.journal.read_bytes().replace(b"0.75", b"0.95", 1)
    folder.journal.write_bytes(content)
    with pytest.raises(InputError, match="nothing says which"):
        repair(folder, lambda found: True)


def test_a_newer_format_or_event_is_not_taken_out(folder: StudyFolder) -> None:
    _lines(folder, small_study())
    *_, (_, end) = read_events(folder.journal)
    for content in (b'{"journal":3}', json.dumps({"event": "from_the_future"}).encode()):
        more = folder.journal.read_bytes() + numbered(end, content)[0]
        folder.journal.write_bytes(more)
        with pytest.raises(InputError, match="version"):
            repair(folder, lambda found: True)
        folder.journal.write_bytes(more[: end.offset])

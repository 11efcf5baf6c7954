"""Whatever becomes of the bytes of a journal: a clear error or the identical record, never another one."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tuning.storage.journals import changed_lines, opened, small_study, trial, written
from trainables.errors import InputError
from tuning.storage.journal import ChampionPicked, Event, TrialStarted, read_events
from tuning.storage.record import StudyRecord
from tuning.storage.study_state import fold, read_record


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("s") / "journal.jsonl", small_study())


def _refused_or_identical(path: Path, content: bytes, sound: StudyRecord) -> bool:
    """Whether the content is refused. Anything but a refusal with file and line, or the same record, fails."""
    path.write_bytes(content)
    try:
        record = read_record(path)
    except InputError as error:
        assert str(path) in str(error)
        return True
    assert record == sound
    return False


def _read(path: Path) -> tuple[bytes, list[bytes], StudyRecord]:
    content = path.read_bytes()
    return content, content.splitlines(keepends=True), read_record(path)


def test_every_flipped_bit(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.jsonl", small_study()[:3])
    content = path.read_bytes()
    for at in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :])
            with pytest.raises(InputError, match=r"journal\.jsonl"):
                list(read_events(path))


def test_every_line_dropped_doubled_swapped_cut_or_zeroed(journal: Path, tmp_path: Path) -> None:
    _, lines, sound = _read(journal)
    for name, changed in changed_lines(lines):
        assert _refused_or_identical(tmp_path / "journal.jsonl", b"".join(changed), sound), f"{name}: unnoticed"


def test_cut_at_every_byte_is_the_record_of_fewer_events(journal: Path, tmp_path: Path) -> None:
    """A crash: everything up to the last whole line, which is what was on disk before."""
    content, lines, _ = _read(journal)
    events, path = small_study(), tmp_path / "journal.jsonl"
    fewer = [fold(events[:whole]) for whole in range(1, len(events) + 1)]
    for cut in range(len(lines[0]) + len(lines[1]), len(content) + 1):
        path.write_bytes(content[:cut])
        assert read_record(path) == fewer[content[:cut].count(b"\n") - 2]  # the header is no event


_accuracies = st.lists(st.floats(0, 1), min_size=1, max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trials=st.lists(_accuracies, min_size=1, max_size=4), data=st.data())
def test_any_study_changed_anyhow(tmp_path: Path, trials: list[list[float]], data: st.DataObject) -> None:
    events = [opened(1.0), *(event for n, accuracies in enumerate(trials) for event in trial(n, accuracies, 2.0 + n))]
    path = written(tmp_path / "journal.jsonl", events)
    content, lines, sound = _read(path)
    at, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    assert _refused_or_identical(path, content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :], sound)
    _, changed = data.draw(st.sampled_from(list(changed_lines(lines))))
    assert _refused_or_identical(path, b"".join(changed), sound)


def test_a_line_of_another_study_is_refused(journal: Path, tmp_path: Path) -> None:
    _, lines, sound = _read(journal)
    other = written(tmp_path / "other.jsonl", [opened(1.5), *small_study()[1:]]).read_bytes().splitlines(True)
    for at in range(2, len(lines)):
        assert _refused_or_identical(
            tmp_path / "journal.jsonl", b"".join([*lines[:at], other[at], *lines[at + 1 :]]), sound
        )


_FORMAT_1 = b"".join(event.model_dump_json().encode() + b"\n" for event in small_study())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(_FORMAT_1) - 1), byte=st.integers(0, 255))
def test_a_damaged_journal_of_format_1_is_no_traceback(tmp_path: Path, at: int, byte: int) -> None:
    """It has no checksums, so another record is possible, and said to be."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(_FORMAT_1[:at] + bytes([byte]) + _FORMAT_1[at + 1 :])
    try:
        assert "without checksums" in read_record(path).caveats[0]
    except InputError as error:
        assert str(path) in str(error) or "has not begun" in str(error)


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ([TrialStarted(number=0)], "before study_opened"),
        ([opened(1.0), TrialStarted(number=0)], "never proposed"),
        ([opened(1.0), ChampionPicked(number=3, reason="")], "never proposed"),
        ([opened(1.0), *trial(0, [], 2.0)[:1], *trial(0, [], 2.0)[:1]], "was proposed before"),
        ([opened(1.0), *trial(0, [0.5, 0.5, 0.5], 2.0)[:3], *trial(0, [0.5] * 3, 2.0)[4:5]], "epochs are missing"),
        ([opened(1.0), *trial(0, [0.5], 2.0), TrialStarted(number=0)], "was completed before"),
    ],
)
def test_events_that_contradict_those_before_are_refused(tmp_path: Path, events: list[Event], problem: str) -> None:
    path = written(tmp_path / "journal.jsonl", events)
    with pytest.raises(InputError, match=rf"journal\.jsonl:\d+: .*{problem}"):
        read_record(path)


@pytest.mark.parametrize(
    "content", [b'"', b"[" * 100_000 + b"\n", b"\xff\xfe\n", b"\n", b"null\n", b"\0" * 50, b"{" * (17 << 20)]
)
def test_any_bytes_are_no_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_record(path)

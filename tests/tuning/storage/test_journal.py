import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.errors import InputError
from tuning.storage.journal import EpochEnded, Journal, TrialFinished, TrialProposed, TrialStarted, read_events
from tuning.storage.journal_lines import Position, header, numbered

_events = st.one_of(
    st.builds(TrialStarted, number=st.integers(0, 99), time=st.floats(0, 2e9)),
    st.builds(
        EpochEnded,
        number=st.integers(0, 99),
        epoch=st.integers(1, 99),
        metrics=st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        time=st.floats(0, 2e9),
    ),
    st.builds(
        TrialFinished,
        number=st.integers(0, 99),
        state=st.sampled_from(["completed", "failed"]),
        reason=st.text(),
        time=st.floats(0, 2e9),
    ),
)


@given(events=st.lists(_events, max_size=10))
def test_what_is_appended_is_read_back(tmp_path_factory: pytest.TempPathFactory, events: list[TrialStarted]) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()
    assert [event for event, _ in read_events(path)] == events


@given(events=st.lists(_events, min_size=2, max_size=6), cut=st.integers(1, 40))
def test_a_line_cut_short_by_a_crash_is_dropped_and_the_rest_survives(
    tmp_path_factory: pytest.TempPathFactory, events: list[TrialStarted], cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    journal.append(*events)
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    assert [event for event, _ in read_events(path)] == events[:-1]
    again = Journal(path)
    again.append(events[-1])
    again.close()
    assert [event for event, _ in read_events(path)] == events


def test_reading_can_go_on_from_an_offset(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    first, second = TrialStarted(number=1), TrialStarted(number=2)
    journal.append(first)
    ((_, offset),) = read_events(journal.path)
    journal.append(second)
    journal.close()
    assert [event for event, _ in read_events(journal.path, offset)] == [second]


def test_an_unknown_event_of_format_1_is_damage_or_another_version(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "from_the_future", "time": 1.0}\n')
    with pytest.raises(InputError, match=r"journal\.jsonl:1: .* no event of this version"):
        list(read_events(path))


def test_an_unknown_event_with_its_checksum_is_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first, position = header(Position())
    path.write_bytes(first + numbered(position, b'{"event":"from_the_future","time":1.0}')[0])
    with pytest.raises(InputError, match=r"journal\.jsonl:2: an event of another version"):
        list(read_events(path))


def test_a_newer_format_is_refused_by_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(numbered(Position(), b'{"journal":3}')[0])
    with pytest.raises(InputError, match=r"format 3 of a newer version.*up to 2"):
        list(read_events(path))


def test_stages_of_format_1_count_from_0(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    fields = {"event": "trial_proposed", "number": 0, "params": {}, "config": {}, "hash": ""}
    lines = [fields | {"time": 1.0}, fields | {"time": 1.0, "stage": 1}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [event.stage for event, _ in read_events(path) if isinstance(event, TrialProposed)] == [1, 2]


def test_a_journal_of_format_1_goes_on_in_format_2_and_is_covered_by_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    old = b'{"time":1.0,"event":"trial_started","number":1}\n'
    path.write_bytes(2 * old)
    journal = Journal(path)
    journal.append(TrialStarted(number=2))
    journal.close()
    assert path.read_bytes().startswith(2 * old)
    assert [event.number for event, _ in read_events(path) if isinstance(event, TrialStarted)] == [1, 1, 2]
    *_, (_, end) = read_events(path)
    assert (end.lines, end.unchecked, end.format) == (4, 2, 2)
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":7', 1))
    with pytest.raises(InputError, match=r"journal\.jsonl:3: "):
        list(read_events(path))

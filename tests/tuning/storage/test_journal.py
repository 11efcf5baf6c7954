from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.errors import InputError
from tuning.storage.journal import EpochEnded, Journal, TrialFinished, TrialStarted, read_events

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


def test_a_line_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "from_the_future", "time": 1.0}\n')
    with pytest.raises(InputError, match=r"journal\.jsonl.*newer version"):
        list(read_events(path))

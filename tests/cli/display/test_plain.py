import io

import pytest

from cli.display import plain
from cli.display.plain import PlainLines
from cli.display.progress import StudyProgress


def test_each_finished_trial_is_one_line_with_its_result_and_parameters(events) -> None:
    stream = io.StringIO()
    lines = PlainLines(StudyProgress(), stream)
    for event in events.whole_study():
        lines.event(event)
    said = stream.getvalue().splitlines()
    assert len(said) == 7
    assert said[0] == (
        "[1/8] trial 0 completed after 4 epochs, 4.0s: val_accuracy 80.00 %   filters=8 learning_rate=0.001"
    )
    assert "trial 1 stopped early after 1 epochs" in said[1]
    assert "(best 80.00 %, trial 0)" in said[1]
    assert said[3].startswith("[4/8] trial 3 failed ValueError: the worker died ")
    assert "second line" not in stream.getvalue()


def test_phases_and_warnings_are_lines_without_color() -> None:
    stream = io.StringIO()
    lines = PlainLines(StudyProgress(), stream)
    lines.phase("searching")
    lines.warning("[bold]three files are unreadable")
    assert stream.getvalue() == "searching\nwarning: [bold]three files are unreadable\n"


def test_a_long_step_is_reported_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(plain.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    lines = PlainLines(StudyProgress(), stream)
    lines.phase("reading images")
    for done in range(100):
        now[0] = float(done) / 4
        lines.progress("decoding", done, 100)
    assert stream.getvalue().splitlines() == ["reading images", "decoding: 40 of 100", "decoding: 80 of 100"]

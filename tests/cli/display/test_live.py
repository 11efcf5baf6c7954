import io
import time

import pytest
from rich.console import Console, ConsoleDimensions

from cli.display.live import LiveTable
from cli.display.output import console
from cli.display.progress import StudyProgress
from tuning.storage.journal import TrialStarted


def _console(width: int, height: int = 40) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None, record=True)


def _drawn(live: LiveTable, console: Console) -> str:
    with console.capture() as capture:
        console.print(live)
    return capture.get()


def _live(events, width: int, height: int = 40) -> tuple[LiveTable, Console]:
    console = _console(width, height)
    live = LiveTable(StudyProgress(), console)
    live.phase("searching")
    for event in events:
        live.event(event)
    return live, console


@pytest.mark.parametrize("width", [20, 60, 100, 160])
def test_it_fits_every_width_and_says_what_matters(events, width: int) -> None:
    under_way = [event for number in (7, 8) for event in events.trial(number, [0.4], None)]
    live, console = _live([*events.whole_study()[:-1], *under_way], width)
    live.warning("three files are unreadable and were left out: a.gif, b.gif, c.gif, and here is more to say about it")
    text = _drawn(live, console)
    assert max(map(len, text.splitlines())) <= width
    assert "digits-cnn" in text
    assert "warning: three" in text
    if width >= 60:
        assert "best val_accuracy 95.00 %, trial 2, epoch 2" in text
        assert "filters=24 learning_rate=0.003" in text
        assert "2 running, 2 completed, 2 stopped early, 2 failed" in text
        assert "6 of 8" in text
        assert "to go" in text
        assert "1/4" in text


def test_more_running_trials_than_lines_are_counted(events) -> None:
    many = [event for number in range(300) for event in events.trial(number, [0.4], None)]
    live, console = _live([events.opened(), *many], width=100, height=24)
    text = _drawn(live, console)
    assert len(text.splitlines()) <= 24
    assert "and 288 more" in text


def test_before_the_study_opens_there_is_a_phase_and_a_bar() -> None:
    console = _console(80)
    live = LiveTable(StudyProgress(), console)
    live.phase("reading images")
    live.progress("decoding", 30, 120)
    text = _drawn(live, console)
    assert "reading images" in text
    assert "30 of 120" in text


def test_equal_warnings_are_counted_and_all_stay_at_the_end(events) -> None:
    live, console = _live([events.opened()], width=60)
    with live:
        for number in range(5):
            live.warning(f"warning number {number} " + "x" * 100)
        live.warning("warning number 3 " + "x" * 100)
        during = _drawn(live, console)
    after = _drawn(live, console)
    assert "number 0" not in during
    assert all(f"number {number}" in after for number in range(5))
    assert "(2 times)" in after.replace("\n", " ")


def test_markup_in_texts_is_shown_as_it_is(events) -> None:
    live, console = _live([events.opened()], width=100)
    live.warning("[red]not markup[/red]")
    assert "[red]not markup[/red]" in _drawn(live, console)


def test_no_color_where_it_is_not_wanted(events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    live = LiveTable(StudyProgress(), console)
    for event in events.whole_study():
        live.event(event)
    drawn = _drawn(live, console)
    assert "\x1b[3" not in drawn


def test_a_drawing_costs_milliseconds_with_thousands_of_trials_behind_it(events) -> None:
    finished = [event for number in range(3000) for event in events.trial(number, [0.4], "completed")]
    running = [event for number in range(3000, 3016) for event in events.trial(number, [0.4], None)]
    live, console = _live([events.opened(), *finished, *running], width=120)
    began = time.process_time()
    for _ in range(10):
        _drawn(live, console)
    assert (time.process_time() - began) / 10 < 0.05


def test_what_others_wrote_does_not_move_the_cursor(events) -> None:
    screen = console(io.StringIO())
    screen.size = ConsoleDimensions(80, 40)
    hostile = "\x1b[2J\x1b]0;title\x07\u202e"
    live = LiveTable(StudyProgress(), screen)
    proposed = events.proposed(0)
    params = proposed.params | {"model.activation": hostile}
    for event in (events.opened(), proposed.model_copy(update={"params": params}), TrialStarted(number=0)):
        live.event(event)
    live.phase(f"reading {hostile}")
    live.progress(f"decoding {hostile}", 1, 2)
    live.warning(f"left out {hostile}")
    text = _drawn(live, screen)
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert text.count("\\x1b[2J") == 4
    assert max(map(len, text.splitlines())) <= 80

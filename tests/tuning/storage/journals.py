"""Journals of small studies, and what can become of their lines."""

from collections.abc import Iterator
from pathlib import Path

from tuning.storage.journal import (
    ChampionLogged,
    ChampionPicked,
    EpochEnded,
    Event,
    Journal,
    StudyEnded,
    StudyOpened,
    TestOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
)

_STUDY = {"name": "s", "data": {"dataset": "digits"}, "space": {"model.filters": {"choices": [8, 16]}}}
_CONFIG = {"data": {"dataset": "digits"}}


def opened(time: float) -> StudyOpened:
    return StudyOpened(time=time, version="0.2.0", study=_STUDY, data_fingerprint="f", host="h", pid=1)


def trial(number: int, accuracies: list[float], time: float) -> list[Event]:
    params = {"model.filters": 8}
    return [
        TrialProposed(time=time, number=number, params=params, config=_CONFIG, hash=str(number), size={"macs": 9}),
        TrialStarted(time=time, number=number),
        *(
            EpochEnded(time=time + e, number=number, epoch=e, metrics={"val_accuracy": a, "val_loss": 1 - a})
            for e, a in enumerate(accuracies, 1)
        ),
        TrialFinished(time=time + 9, number=number, state="completed", duration_s=1.5),
    ]


def small_study() -> list[Event]:
    return [
        opened(1.0),
        *trial(0, [0.5, 0.75], 2.0),
        StudyEnded(time=30.0, state="interrupted", reason="asked to"),
        opened(40.0),
        *trial(1, [0.25], 41.0),
        StudyEnded(time=60.0, state="finished", reason="done"),
        ChampionPicked(time=61.0, number=0, reason="small"),
        ChampionLogged(time=62.0, number=0, model_uri="models:/s/1"),
        TestOpened(time=63.0, number=0, report={"accuracy": 0.5}),
    ]


def written(path: Path, events: list[Event]) -> Path:
    path.unlink(missing_ok=True)
    journal = Journal(path)
    journal.append(*events)
    journal.close()
    return path


def changed_lines(lines: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Every line dropped, doubled, cut and zeroed, and every two lines swapped.

    A line dropped or cut at the very end is what a crash leaves: no change.
    """
    for at, line in enumerate(lines):
        before, after = lines[:at], lines[at + 1 :]
        if after:
            yield f"dropped {at}", [*before, *after]
            yield f"cut {at}", [*before, line[: len(line) // 2], *after]
            yield f"cut {at}, newline kept", [*before, line[: len(line) // 2] + b"\n", *after]
        yield f"doubled {at}", [*before, line, line, *after]
        yield f"zeroed {at}", [*before, bytes(len(line)), *after]
        yield f"zeroed {at}, newline kept", [*before, bytes(len(line) - 1) + b"\n", *after]
        for other in range(at):
            swapped = list(lines)
            swapped[at], swapped[other] = lines[other], line
            yield f"swapped {at} and {other}", swapped

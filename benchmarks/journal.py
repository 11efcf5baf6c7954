"""What checksums cost a journal, and how long a large one takes to open: python benchmarks/journal.py [--trials N].

Everything is measured in turns within one run, in processor seconds, the fewest of some repetitions. The last column is
the ratio to the same without checksums (format 1).
"""

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tuning.selection.results import study_results
from tuning.storage.journal import (
    EpochEnded,
    Event,
    StudyOpened,
    TrialFinished,
    TrialProposed,
    TrialStarted,
    parse_event,
)
from tuning.storage.journal_lines import Position, header, numbered, read_lines
from tuning.storage.study_state import StudyState, read_state

STUDY = {"name": "benchmark", "data": {"dataset": "digits"}, "space": {"model.filters": {"choices": [8, 16]}}}
CONFIG = {
    "data": {"dataset": "digits"},
    "model": {"name": "cnn", "filters": 16},
    "optimizer": {"name": "adamw", "learning_rate": 0.001},
    "training": {"max_epochs": 30, "batch_size": 64},
}


def events(trials: int, epochs: int) -> list[Event]:
    """A finished study."""
    found: list[Event] = [StudyOpened(version="0.2.0", study=STUDY, data_fingerprint="f", host="h", pid=1, time=1.0)]
    for number in range(trials):
        params = {"model.filters": 8 * (1 + number % 2), "optimizer.learning_rate": 0.001 + number / 1e7}
        size = {"parameters": 10_000 + number, "macs": 50_000, "activation_bytes": 4_096}
        found.append(TrialProposed(number=number, params=params, config=CONFIG, hash=f"{number:064d}", size=size))
        found.append(TrialStarted(number=number))
        for epoch in range(1, epochs + 1):
            accuracy = 1.0 - 1.0 / (1.5 + epoch + number % 97)
            metrics = {
                "train_loss": 1.23456789 / epoch,
                "val_loss": 1.0 - accuracy,
                "val_accuracy": accuracy,
                "learning_rate": 0.001,
                "epoch_seconds": 1.2345,
            }
            found.append(EpochEnded(number=number, epoch=epoch, metrics=metrics))
        found.append(TrialFinished(number=number, state="completed", duration_s=37.0))
    return found


def write_format_1(path: Path, written: list[Event]) -> None:
    with open(path, "wb") as file:
        for event in written:
            file.write(event.model_dump_json().encode() + b"\n")


def write_format_2(path: Path, written: list[Event]) -> None:
    line, position = header(Position())
    with open(path, "wb") as file:
        file.write(line)
        for event in written:
            line, position = numbered(position, event.model_dump_json().encode())
            file.write(line)


def read_plainly(path: Path) -> None:
    """Events without checksums, numbers or state."""
    with open(path, "rb") as file:
        for line in file:
            parse_event(line)


def read_checked(path: Path) -> None:
    for line in read_lines(path, Position()):
        if line.content:
            parse_event(line.content)


def apply_all(found: list[Event]) -> None:
    state = StudyState()
    for event in found:
        state.apply(event)
    state.record()


def seconds(work: Callable[[], object], repeat: int) -> float:
    """Processor seconds of the fastest of `repeat` runs."""
    fastest = float("inf")
    for _ in range(repeat):
        gc.collect()
        began = time.process_time()
        work()
        fastest = min(fastest, time.process_time() - began)
    return fastest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    for trials in (options.trials // 4, options.trials):
        measure(trials, options.epochs, options.repeat)


def measure(trials: int, epochs: int, repeat: int) -> None:
    written = events(trials, epochs)
    print(f"{trials:,} trials of {epochs} epochs, {len(written):,} events")
    with tempfile.TemporaryDirectory() as temporary:
        plain, checked = Path(temporary) / "plain.jsonl", Path(temporary) / "checked.jsonl"
        rows = [
            ("write, without fsync", lambda: write_format_1(plain, written), lambda: write_format_2(checked, written)),
            ("read the events", lambda: read_plainly(plain), lambda: read_checked(checked)),
        ]
        for name, without, with_checksums in rows:
            first, second = seconds(without, repeat), seconds(with_checksums, repeat)
            print(f"  {name:<34} {first:7.2f} s  {second:7.2f} s with checksums, ratio {second / first:.2f}")
        print(f"  {'events to study':<34} {seconds(lambda: apply_all(written), repeat):7.2f} s")
        print(f"  {'open: read, check, events to study':<34} {seconds(lambda: read_state(checked), repeat):7.2f} s")
        record = read_state(checked)[0].record()
        results = seconds(lambda: study_results(record, {}), repeat)
        print(f"  {'results of the open study':<34} {results:7.2f} s")
        as_json = seconds(lambda: json.dumps(study_results(record, {}).model_dump(mode="json")), 1)
        print(f"  {'results as JSON':<34} {as_json:7.2f} s")
        print(f"  size {checked.stat().st_size / 1e6:.1f} MB, {plain.stat().st_size / 1e6:.1f} MB without checksums")


if __name__ == "__main__":
    main()

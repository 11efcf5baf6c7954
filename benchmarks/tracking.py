"""What mirroring costs: python benchmarks/tracking.py [--trials N] [--tracking-uri URI] [--trials-at-once N]."""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from torch import nn

from tuning.storage.journal import EpochEnded, Event, Journal, StudyOpened, TrialFinished, TrialProposed, TrialStarted
from tuning.storage.paths import StudyFolder
from tuning.tracking.mirror import Mirror
from tuning.tracking.preflight import check_reachable
from tuning.tracking.registry import log_champion

STUDY = {"name": "benchmark", "data": {"dataset": "digits"}, "space": {"model.filters": {"choices": [8, 16]}}}
METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds")
CONFIG = {"data": {"dataset": "digits"}, "model": {"name": "cnn"}}


def trial(number: int) -> list[Event]:
    """Eight parameters, ten epochs of five metrics."""
    params = {f"section.{index}": index * 1.5 for index in range(8)}
    size = {"parameters": 10_000, "macs": 50_000}
    epochs = [
        EpochEnded(number=number, epoch=epoch, metrics=dict.fromkeys(METRICS, 1 / (1 + epoch)))
        for epoch in range(1, 11)
    ]
    proposed = TrialProposed(number=number, params=params, config=CONFIG, hash="0" * 64, size=size)
    return [proposed, TrialStarted(number=number), *epochs, TrialFinished(number=number, state="completed")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--trials-at-once", type=int, default=1, help="trials that finish between two looks")
    parser.add_argument("--tracking-uri")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = StudyFolder(Path(temporary) / "studies", "benchmark")
        uri = options.tracking_uri or f"sqlite:///{temporary}/mlflow.db"
        journal = Journal(folder.journal)
        journal.append(StudyOpened(version="0", study=STUDY, data_fingerprint="", host="", pid=0))
        check_reachable(uri)
        mirror = Mirror(folder, uri)
        mirror.bring_up_to_date()
        wall, processor = time.perf_counter(), time.process_time()
        for number in range(options.trials):
            journal.append(*trial(number))
            if number % options.trials_at_once == 0:
                mirror.bring_up_to_date()
        mirror.bring_up_to_date()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        print(f"a trial: {wall / options.trials * 1e3:.1f} ms, processor {processor / options.trials * 1e3:.1f} ms")
        began = time.perf_counter()
        Mirror(folder, uri).bring_up_to_date()
        print(f"taking up {options.trials} trials again: {time.perf_counter() - began:.2f} s")
        began = time.perf_counter()
        module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
        log_champion(mirror, 0, {}, module, np.zeros((1, 1, 8, 8), dtype=np.float32))
        print(f"log and register the champion: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()

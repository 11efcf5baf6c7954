"""The sealed test: the champion's accuracy on images that no trial has seen. Opening it is an event of the study."""

import time
from typing import TYPE_CHECKING

from trainables.config.base import Config
from trainables.errors import InputError
from tuning.selection.confirmation import recommended
from tuning.selection.statistics import accuracy_interval
from tuning.storage.journal import Journal, TestOpened
from tuning.storage.lock import study_lock
from tuning.storage.observer import Observer
from tuning.storage.paths import StudyFolder
from tuning.storage.record import StudyRecord, TrialRecord
from tuning.storage.study_state import read_record

if TYPE_CHECKING:
    from torch import Tensor


class TestReport(Config):
    """What the sealed test said. These names are an interface: other programs rely on them."""

    __test__ = False  # no test class, whatever pytest thinks of the name

    study: str
    trial: int
    """The champion."""
    accuracy: float
    """In [0, 1]."""
    n: int
    """Test images."""
    interval: tuple[float, float]
    """Wilson's 95 % interval of the accuracy."""
    loss: float
    """Mean cross-entropy."""
    per_class: dict[str, float]
    """Accuracy among the images of each class that has any."""
    openings: int
    """How often the test has been opened, this time included; above 1 the number is no longer an honest estimate."""


def test_champion(folder: StudyFolder, observer: Observer) -> TestReport:
    """Evaluate the champion on the test split and write the opening into the journal before anybody sees the number.

    Raises:
        InputError: a driver still works on the study, it has no champion, the champion's weights cannot be read, or
            the images have changed since the study began.
    """
    with study_lock(folder):
        record = read_record(folder.journal)
        champion = recommended(record)
        if champion is None:
            raise InputError(f"study {folder.name!r} has no champion yet: no trial has reached a result")
        _warn(folder, record, observer)
        report = _evaluate(folder, record, champion, observer)
        journal = Journal(folder.journal)
        try:
            journal.append(TestOpened(number=champion.number, report=report.model_dump(mode="json")))
        finally:
            journal.close()
        return report


test_champion.__test__ = False  # type: ignore[attr-defined]  # read by pytest


def _warn(folder: StudyFolder, record: StudyRecord, observer: Observer) -> None:
    for caveat in record.caveats:
        observer.warning(caveat)
    if record.state != "finished":
        observer.warning(
            f"the study is {record.state}, not finished: `{folder.command('resume')}` may find another "
            "champion, and testing that one will be a second opening"
        )
    if record.tests:
        before = record.tests[-1]
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(before.time))
        observer.warning(
            f"the sealed test was opened before: {len(record.tests)} times, last on {day} for trial {before.number}. "
            "This is marked as another opening; whatever is chosen by its result is no longer tested by it"
        )


def _evaluate(folder: StudyFolder, record: StudyRecord, champion: TrialRecord, observer: Observer) -> TestReport:
    import torch

    from trainables.data.training_data import open_test_data
    from trainables.training.device import choose_compute
    from trainables.training.evaluation import evaluate
    from tuning.selection.registration import load_classifier
    from tuning.selection.study_data import images_of

    observer.phase("reading the sealed test images")
    seen = images_of(record, champion, observer)
    test = open_test_data(champion.config.data, observer.progress)
    compute = choose_compute("fp32")
    model = load_classifier(folder, champion.number, champion.config, seen).to(compute.device)
    observer.phase(f"testing trial {champion.number} on {len(test.labels)} images")
    evaluation = evaluate(model, test.images, test.labels, torch.arange(len(test.labels)), compute)
    correct = evaluation.predictions == test.labels
    return TestReport(
        study=folder.name,
        trial=champion.number,
        accuracy=evaluation.accuracy,
        n=len(test.labels),
        interval=accuracy_interval(int(correct.sum()), len(test.labels)),
        loss=evaluation.loss,
        per_class=_per_class(correct, test.labels, test.classes),
        openings=len(record.tests) + 1,
    )


def _per_class(correct: "Tensor", labels: "Tensor", classes: tuple[str, ...]) -> dict[str, float]:
    of_class = {name: correct[labels == label] for label, name in enumerate(classes)}
    return {name: float(hits.double().mean()) for name, hits in of_class.items() if len(hits)}

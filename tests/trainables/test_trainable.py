"""What a worker passes on of Python's warnings and of tracebacks, with every epoch."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from trainables import trainable as module
from trainables.config import TrialConfig
from trainables.errors import InfeasibleError, TrialError
from trainables.software import own_software
from trainables.trainable import Job, TrialTrainable

_METRICS = {"train_loss": 1.0}


def _trial(monkeypatch: pytest.MonkeyPatch, epochs: Iterator[dict[str, float]]) -> TrialTrainable:
    """A trial whose training is `epochs`, in a worker without Ray."""
    monkeypatch.setattr(module, "_epochs", lambda job, config: epochs)
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}}).model_dump(mode="json")
    software = {"code": own_software().code, "versions": own_software().versions}
    job = Job(0, config, "", "val_loss", 1, None, 1, "", "", "token", software)
    trial = TrialTrainable.__new__(TrialTrainable)
    trial.setup({"job": job.to_json()})
    return trial


def test_warnings_of_every_category_come_once_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def train() -> Iterator[dict[str, float]]:
        for _ in range(2):
            warnings.warn("old interface", DeprecationWarning, stacklevel=1)
            warnings.warn("overflow", RuntimeWarning, stacklevel=1)
            yield _METRICS

    trial = _trial(monkeypatch, train())
    first, second = trial.step(), trial.step()
    assert "DeprecationWarning: old interface" in first["log"]
    assert "RuntimeWarning: overflow" in first["log"]
    assert (first["warning"], second["log"]) == ("", "")


def test_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    def train() -> Iterator[dict[str, float]]:
        for number in range(1000):
            warnings.warn(f"{number}" + "x" * 10_000, stacklevel=1)
        yield _METRICS

    log = _trial(monkeypatch, train()).step()["log"]
    assert log.endswith("further warnings of this trial are left out")
    assert len(log) < 150_000


@pytest.mark.parametrize(
    ("error", "outcome", "has_traceback"),
    [
        (ZeroDivisionError("a"), "failed", True),
        (TrialError("b"), "failed", True),
        (InfeasibleError("c"), "infeasible", False),
    ],
)
def test_a_failed_trial_gives_its_whole_traceback_after_its_warnings(
    error: Exception, outcome: str, has_traceback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARE_TOKEN", "hunter2")

    def train() -> Iterator[dict[str, float]]:
        warnings.warn("at hunter2", stacklevel=1)
        _deep(20, error)
        yield _METRICS

    result = _trial(monkeypatch, train()).step()
    assert result["outcome"] == outcome
    assert result["log"].startswith("UserWarning: at ${SHARE_TOKEN}")
    assert ("Traceback (most recent call last)" in result["log"]) is has_traceback
    assert len(result["reason"].splitlines()) < 20


def _deep(depth: int, error: Exception) -> Any:
    if depth == 0:
        raise error
    return _deep(depth - 1, error)

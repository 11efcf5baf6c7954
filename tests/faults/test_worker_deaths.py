"""A trial whose worker dies is handed out again, wherever Ray Tune was with it; after too often it has failed."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.tune.search import Searcher

from search_spaces.schema import StudyConfig
from tuning.execution.runner import MAX_WORKER_DEATHS, Workers, _Adapter
from tuning.search.proposer import Proposal
from tuning.storage.journal import TrialProposed
from tuning.storage.paths import StudyFolder
from tuning.storage.recorder import Pen


class OneTrial:
    """Proposes one trial."""

    finish_reason = stop_reason = None

    def __init__(self) -> None:
        self._trial: TrialProposed | None = TrialProposed(number=0, params={}, config={}, hash="h")

    def ask(self) -> Proposal:
        trial, self._trial = self._trial, None
        return Proposal(() if trial is None else (trial,), trial)

    def finish(self, number: int, state: str) -> None:
        pass


def test_trial_is_handed_out_again_until_its_worker_has_died_too_often(tmp_path: Path) -> None:
    space = {"model.filters": {"choices": [8, 16]}}
    study = StudyConfig.model_validate(
        {"name": "s", "data": {"dataset": "digits"}, "model": {"name": "cnn"}, "space": space}
    )
    folder = StudyFolder(tmp_path, "s")
    events: list[Any] = []
    pen = Pen(lambda *new: events.extend(new))
    retention: Any = SimpleNamespace(finish=lambda number, state: None)
    data: Any = SimpleNamespace(names=(), fingerprint="f", cache_entry="e")
    workers = Workers(study, folder, data, pen.write, threading.Event(), concurrent=1)
    adapter = _Adapter(workers, pen, OneTrial(), (), retention)
    for death in range(MAX_WORKER_DEATHS + 1):
        assert adapter.suggest(f"ray{death}")["number"] == 0
        assert adapter.suggest("another") is None  # the one that runs may have to be begun again
        adapter.on_trial_complete(f"ray{death}", error=True)
    assert adapter.suggest("last") == Searcher.FINISHED
    assert [(event.event, getattr(event, "state", "")) for event in events] == [
        ("trial_proposed", ""),
        ("trial_finished", "failed"),
    ]
    assert "its worker died 4 times" in events[-1].reason

"""A trial whose worker dies is handed out again, wherever Ray Tune was with it; after too often it has failed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.tune.search import Searcher

from search_spaces.schema import StudyConfig
from tests.faults.driver import Listener, opened_recorder
from tuning.execution.trial_handout import MAX_WORKER_DEATHS, Assignment, TrialHandout
from tuning.search.proposer import Proposal
from tuning.storage.journal import TrialProposed
from tuning.storage.paths import StudyFolder


class OneTrial:
    """Proposes one trial."""

    finish_reason = stop_reason = None

    def __init__(self) -> None:
        self._trial: TrialProposed | None = TrialProposed(
            number=0, params={}, config={"data": {"dataset": "digits"}}, hash="h"
        )

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
    observer = Listener()
    with opened_recorder(folder, study, observer) as recorder:
        retention: Any = SimpleNamespace(finish=lambda number, state: None)
        data: Any = SimpleNamespace(names=(), fingerprint="f", cache_entry="e")
        assignment = Assignment(study, folder, data, 1, "token", observer.warning)
        adapter = TrialHandout(assignment, recorder, OneTrial(), (), retention)
        for death in range(MAX_WORKER_DEATHS + 1):
            assert adapter.suggest(f"ray{death}")["number"] == 0
            assert adapter.suggest("another") is None  # the one that runs may have to be begun again
            adapter.on_trial_complete(f"ray{death}", error=True)
        assert adapter.suggest("last") == Searcher.FINISHED
    assert [(event.event, getattr(event, "state", "")) for event in observer.events] == [
        ("trial_proposed", ""),
        ("trial_finished", "failed"),
    ]
    assert "its worker died 4 times" in observer.events[-1].reason

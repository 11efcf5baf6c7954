"""Workers that must not train for a study: their trials go elsewhere, and nothing that they say is believed."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher

from search_spaces.schema import StudyConfig
from tests.faults.driver import Listener, opened_recorder
from tests.workplace import Workplace
from trainables.errors import StudyFailedError
from trainables.software import Software, own_report, own_software
from tuning.execution.trial_handout import Assignment, TrialHandout
from tuning.search.proposer import Proposal
from tuning.storage.journal import EpochEnded, TrialFinished, TrialProposed
from tuning.storage.paths import StudyFolder

METRICS = {"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.999, "learning_rate": 0.1, "epoch_seconds": 1.0}
OTHER = Software("bad" * 20, own_software().versions)


class Trials:
    """Proposes some trials."""

    finish_reason = "all trials are done"
    stop_reason = None

    def __init__(self, count: int) -> None:
        self._left = list(range(count))
        self.finished: list[tuple[int, str]] = []

    def ask(self) -> Proposal:
        if not self._left:
            return Proposal((), None)
        trial = TrialProposed(number=self._left.pop(0), params={}, config={"data": {"dataset": "digits"}}, hash="h")
        return Proposal((trial,), trial)

    def observe(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        pass

    def finish(self, number: int, state: str) -> None:
        self.finished.append((number, state))


class Desk:
    """The driver's side of trials, without Ray."""

    def __init__(self, tmp_path: Path, trials: int, concurrent: int) -> None:
        study = StudyConfig.model_validate(
            {
                "name": "s",
                "data": {"dataset": "digits"},
                "model": {"name": "cnn"},
                "space": {"model.filters": {"choices": [8, 16]}},
            }
        )
        self.folder = StudyFolder(tmp_path, "s")
        self.observer = Listener()
        self.events = self.observer.events
        self.warnings: list[str] = []
        self.trials = Trials(trials)
        self.recorder = opened_recorder(self.folder, study, self.observer)
        retention: Any = SimpleNamespace(finish=lambda *_: None, observe=lambda *_: None)
        data: Any = SimpleNamespace(names=(), fingerprint="f", cache_entry="e")
        self.workers = Assignment(study, self.folder, data, concurrent, "token" * 4, self.warnings.append)
        self.adapter = TrialHandout(self.workers, self.recorder, self.trials, (), retention)

    def result(self, **changes: Any) -> dict[str, Any]:
        worker = own_report(self.workers.token).to_json()
        end = {"outcome": "", "reason": "", "warning": "", "weights_saved": True, "completed": True, "done": True}
        return {**METRICS, "epoch": 1, "worker": worker, **end, **changes}

    def refusal(self, host: str) -> dict[str, Any]:
        worker = replace(own_report(self.workers.token), host=host, software=OTHER).to_json()
        return {"epoch": 0, "worker": worker, "outcome": "refused", "reason": "torch is 1.0, not 2.0", "done": False}

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[MakeDesk]:
    with ExitStack() as stack:

        def make(trials: int, concurrent: int) -> Desk:
            desk = Desk(tmp_path, trials, concurrent)
            stack.enter_context(desk.recorder)
            return desk

        yield make


def test_a_refused_trial_is_handed_out_elsewhere_and_the_searcher_never_hears_of_it(make_desk: MakeDesk) -> None:
    desk = make_desk(trials=2, concurrent=2)
    assert desk.adapter.suggest("ray0")["number"] == 0
    desk.adapter.on_trial_result("ray0", desk.refusal("old-node"))
    desk.adapter.on_trial_result("ray0", desk.refusal("old-node"))  # it goes on saying so
    assert desk.warnings == ["a worker on old-node cannot train for this study: torch is 1.0, not 2.0"]
    for number in (0, 1):
        ray_trial = f"ray{number + 1}"
        assert desk.adapter.finish_reason is None
        assert desk.adapter.suggest(ray_trial)["number"] == number
        desk.adapter.on_trial_complete(ray_trial, desk.result())
    assert desk.adapter.suggest("last") == Searcher.FINISHED
    assert desk.adapter.finish_reason == "all trials are done"
    desk.adapter.on_trial_complete("ray0", desk.refusal("old-node"))
    assert desk.trials.finished == [(0, "completed"), (1, "completed")]
    assert [(event.number, event.state) for event in desk.of(TrialFinished)] == [(0, "completed"), (1, "completed")]


def test_where_no_worker_is_fit_the_study_ends_and_says_why(make_desk: MakeDesk) -> None:
    desk = make_desk(trials=2, concurrent=2)
    desk.adapter.suggest("ray0")
    desk.adapter.on_trial_result("ray0", desk.refusal("one"))
    desk.adapter.suggest("ray1")
    with pytest.raises(StudyFailedError, match=r"no worker .*one: torch is 1\.0, not 2\.0; two: torch .* resume s"):
        desk.adapter.on_trial_result("ray1", desk.refusal("two"))
    assert isinstance(desk.recorder.failure, StudyFailedError)
    assert desk.of(TrialFinished) == []


def test_a_place_whose_unfit_worker_died_is_free_again(make_desk: MakeDesk) -> None:
    desk = make_desk(trials=1, concurrent=2)
    desk.adapter.suggest("ray0")
    desk.adapter.on_trial_result("ray0", desk.refusal("one"))
    desk.adapter.on_trial_complete("ray0", error=True)
    desk.adapter.suggest("ray1")
    desk.adapter.on_trial_result("ray1", desk.refusal("one"))
    assert desk.recorder.failure is None


@pytest.mark.parametrize("way", ["on_trial_result", "on_trial_complete"])
@pytest.mark.parametrize("lie", ["other code", "other study", "nothing said"])
def test_results_of_an_unfit_worker_that_trains_all_the_same_are_not_believed(
    make_desk: MakeDesk, way: str, lie: str
) -> None:
    desk = make_desk(trials=1, concurrent=2)
    desk.adapter.suggest("ray0")
    report = own_report(desk.workers.token)
    worker = {
        "other code": replace(report, software=OTHER).to_json(),
        "other study": replace(report, study="another").to_json(),
        "nothing said": None,
    }[lie]
    checkpoints = desk.folder.trial_checkpoints(0)
    checkpoints.mkdir(parents=True)
    (checkpoints / "best.pt").write_text("doctored")
    with pytest.raises(StudyFailedError, match="no worker has the code and versions"):
        getattr(desk.adapter, way)("ray0", desk.result(worker=worker))
    assert desk.of(EpochEnded) == desk.of(TrialFinished) == []
    assert not checkpoints.exists()


def test_who_trained_is_written_once_a_worker(make_desk: MakeDesk) -> None:
    desk = make_desk(trials=1, concurrent=1)
    desk.adapter.suggest("ray0")
    for epoch in (1, 2):
        desk.adapter.on_trial_result("ray0", desk.result(epoch=epoch))
    moved = replace(own_report(desk.workers.token), host="another").to_json()
    desk.adapter.on_trial_complete("ray0", desk.result(epoch=3, worker=moved))
    assert [event.host for event in desk.of(EpochEnded)] == [own_report("").host, "", "another"]
    assert desk.of(EpochEnded)[0].versions == own_software().versions
    assert [event.host for event in desk.of(TrialFinished)] == [""]


def test_a_trial_that_fails_before_its_first_epoch_says_where(make_desk: MakeDesk) -> None:
    desk = make_desk(trials=1, concurrent=1)
    desk.adapter.suggest("ray0")
    desk.adapter.on_trial_complete("ray0", desk.result(outcome="failed", reason="NaN"))
    (event,) = desk.of(TrialFinished)
    assert (event.state, event.host) == ("failed", own_report("").host)


@pytest.mark.slow
def test_a_study_says_where_and_with_what_each_trial_was_trained(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    workplace.run("run", "small.yaml", "--trials", "2")
    found = json.loads(workplace.run("results", "small", "--json"))
    for trial in found["trials"]:
        assert trial["node"] == own_report("").host
        assert trial["versions"] == own_software().versions
    for run in workplace.child_runs().values():
        assert run.data.tags["node"] == own_report("").host
        assert run.data.tags["version.torch"] == own_software().versions["torch"]

"""The journal in MLflow, with real SQLite databases."""

import sqlite3
import subprocess
import sys
import time

import pytest
import yaml
from mlflow import MlflowClient

from trainables.config.objective import Objective
from tuning.storage.journal import ChampionLogged, ChampionPicked, StudyEnded, TrialStarted
from tuning.storage.journal import TestOpened as SealedTestOpened
from tuning.storage.study_state import read_record
from tuning.tracking import mirror as mirror_module
from tuning.tracking.mirror import Mirror
from tuning.tracking.mlflow_store import TrackingError
from tuning.tracking.state import MirrorProblem, events_waiting, read_problem, read_run_ids, read_state, write_problem


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def finished(study):
    """One trial of every kind."""
    study.open()
    study.trial(0)
    study.trial(1, "stopped", "rung 2", epochs=2)
    study.trial(2, "failed", "ValueError: no\n  line 3", epochs=1)
    study.trial(3, "infeasible", "pooling below one pixel", epochs=0)
    study.end()
    return study


class TestWhatIsWritten:
    def test_every_child_run_has_the_numbers_of_the_record(self, finished, uri, contents):
        Mirror(finished.folder, uri).bring_up_to_date()
        held = contents(uri, finished.folder)
        for trial in read_record(finished.folder.journal).trials:
            child = held[str(trial.number)]
            for epoch, metrics in enumerate(trial.epochs, start=1):
                for key, value in metrics.items():
                    assert [point[1] for point in child["history"][key] if point[0] == epoch] == [value]
            assert child["latest"].get("best_val_accuracy") == (trial.best_metrics(Objective()) or {}).get(
                "val_accuracy"
            )
            assert child["latest"]["duration_s"] == trial.duration_s
            assert child["latest"]["size.parameters"] == trial.size["parameters"]
            assert float(child["params"]["optimizer.learning_rate"]) == trial.params["optimizer.learning_rate"]
            assert child["params"]["model.filters"] == str(trial.params["model.filters"])
            assert child["params"]["training.seed"] == "3"
            assert child["tags"]["state"] == trial.state
            assert child["tags"]["reason"] == trial.reason
            assert child["started"] == round(trial.proposed_at * 1000)

    def test_statuses(self, finished, uri, contents):
        Mirror(finished.folder, uri).bring_up_to_date()
        held = contents(uri, finished.folder)
        assert {name: run["status"] for name, run in held.items()} == {
            "study": "FINISHED", "0": "FINISHED", "1": "FINISHED", "2": "FAILED", "3": "KILLED",
        }  # fmt: skip

    def test_the_study_run(self, finished, uri, contents):
        Mirror(finished.folder, uri).bring_up_to_date()
        run = contents(uri, finished.folder)["study"]
        record = read_record(finished.folder.journal)
        assert run["name"] == "tiny"
        assert run["params"]["search.trials"] == "4"
        assert run["params"]["space.model.filters.choices"] == "[8,16]"
        assert run["tags"]["data.fingerprint"] == "f00d"
        assert run["tags"]["reason"] == "4 trials are done"
        best = [point[1] for point in run["history"]["best_val_accuracy"]]
        assert [point[0] for point in run["history"]["best_val_accuracy"]] == [1, 2, 3, 4]
        assert best == sorted(best)
        assert best[-1] == (record.ranked[0].best_metrics(Objective()) or {})["val_accuracy"]
        assert yaml.safe_load(run["documents"]["study.yaml"])["name"] == "tiny"

    def test_versions_of_code_and_libraries(self, finished, uri):
        Mirror(finished.folder, uri).bring_up_to_date()
        tags = MlflowClient(uri).get_run(read_state(finished.folder).parent_run_id).data.tags
        assert {"version.python", "version.torch", "version.mlflow", "tune.version"} <= tags.keys()

    def test_champion_and_test(self, finished, uri, contents):
        report = {"accuracy": 0.97, "n": 360, "interval": [0.95, 0.98], "openings": 1, "per_class": {"0": 1.0}}
        finished.write(ChampionLogged(number=0, model_uri="models:/tiny/1"), SealedTestOpened(number=0, report=report))
        finished.write(SealedTestOpened(number=0, report=report | {"openings": 2}))
        finished.write(ChampionPicked(number=2, reason="at most 9 parameters"))
        Mirror(finished.folder, uri).bring_up_to_date()
        held = contents(uri, finished.folder)
        for run in (held["study"], held["0"]):
            assert [point[:2] for point in run["history"]["test_accuracy"]] == [(1, 0.97), (2, 0.97)]
            assert run["tags"]["test.openings"] == "2"
        assert held["study"]["tags"]["champion.trial"] == "0"
        assert held["study"]["tags"]["champion.model_uri"] == "models:/tiny/1"
        assert held["study"]["tags"]["champion.picked"] == "2"
        assert held["study"]["tags"]["champion.reason"] == "at most 9 parameters"
        assert {"test_1.json", "test_2.json"} <= held["study"]["documents"].keys()

    def test_run_ids_are_read_without_mlflow(self, finished, uri):
        assert read_run_ids(finished.folder) == {}
        Mirror(finished.folder, uri).bring_up_to_date()
        ids = read_run_ids(finished.folder)
        assert sorted(ids) == [0, 1, 2, 3]
        assert MlflowClient(uri).get_run(ids[2]).data.tags["tune.trial"] == "2"
        script = "import sys, tuning.tracking.state; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
        subprocess.run([sys.executable, "-c", script], check=True)

    def test_a_long_reason_is_cut(self, study, uri, contents):
        study.open()
        study.trial(0, "failed", "x" * 20_000)
        Mirror(study.folder, uri).bring_up_to_date()
        assert len(contents(uri, study.folder)["0"]["tags"]["reason"]) == 5000


class TestAgainAndAgain:
    def test_in_pieces_equals_in_one_go(self, study, uri, contents, undisturbed):
        mirror = Mirror(study.folder, uri)
        mirror.bring_up_to_date()  # nothing there yet
        for step in (study.open, lambda: study.trial(0), lambda: study.propose(1), lambda: study.epochs(1, 1, 2)):
            step()
            mirror.bring_up_to_date()
        study.finish(1)
        study.end()
        Mirror(study.folder, uri).bring_up_to_date()
        assert contents(uri, study.folder) == undisturbed(study.folder)

    def test_writing_everything_twice_changes_nothing(self, finished, uri, contents):
        Mirror(finished.folder, uri).bring_up_to_date()
        before = contents(uri, finished.folder)
        finished.folder.tracking.unlink()
        Mirror(finished.folder, uri).bring_up_to_date()
        assert contents(uri, finished.folder) == before

    def test_a_damaged_position_is_survived(self, finished, uri, contents):
        Mirror(finished.folder, uri).bring_up_to_date()
        before = contents(uri, finished.folder)
        finished.folder.tracking.write_text('{"offset": 12')
        Mirror(finished.folder, uri).bring_up_to_date()
        assert contents(uri, finished.folder) == before

    def test_repeated_epochs_are_there_once(self, study, uri, contents):
        study.open()
        study.propose(0)
        study.epochs(0, 1, 3)
        mirror = Mirror(study.folder, uri)
        mirror.bring_up_to_date()
        study.write(TrialStarted(number=0))
        study.epochs(0, 2, 4)
        Mirror(study.folder, uri).bring_up_to_date()
        history = contents(uri, study.folder)["0"]["history"]["val_accuracy"]
        assert [point[0] for point in history] == [1, 2, 3, 4]

    def test_interrupted_then_resumed_and_extended(self, study, uri, contents):
        study.open()
        study.trial(0)
        study.propose(1)
        study.epochs(1, 1, 1)
        study.write(StudyEnded(state="interrupted", reason="Ctrl-C"))
        Mirror(study.folder, uri).bring_up_to_date()
        held = contents(uri, study.folder)
        assert (held["study"]["status"], held["0"]["status"], held["1"]["status"]) == ("KILLED", "FINISHED", "KILLED")
        study.open(trials=54)
        study.write(TrialStarted(number=1))
        mirror = Mirror(study.folder, uri)
        mirror.bring_up_to_date()
        held = contents(uri, study.folder)
        assert (held["study"]["status"], held["1"]["status"]) == ("RUNNING", "RUNNING")
        assert held["study"]["params"]["search.trials"] == "4"
        assert held["study"]["tags"]["changed.search.trials"] == "54"
        study.epochs(1, 2, 3)
        study.finish(1)
        study.end()
        mirror.bring_up_to_date()
        held = contents(uri, study.folder)
        assert (held["study"]["status"], held["1"]["status"]) == ("FINISHED", "FINISHED")
        assert yaml.safe_load(held["study"]["documents"]["study.yaml"])["search"]["trials"] == 54

    def test_two_mirrors_take_turns(self, study, uri, contents, undisturbed):
        study.open()
        first, second = Mirror(study.folder, uri), Mirror(study.folder, uri)
        for number in range(4):
            study.trial(number)
            (first if number % 2 else second).bring_up_to_date()
            first.bring_up_to_date()
        assert contents(uri, study.folder) == undisturbed(study.folder)

    def test_another_study_of_the_same_name_keeps_apart(self, finished, uri, tmp_path, contents):
        Mirror(finished.folder, uri).bring_up_to_date()
        before = contents(uri, finished.folder)
        other = type(finished)(type(finished.folder)(tmp_path / "elsewhere", "tiny"))
        other.time()
        other.open()
        other.trial(0)
        other.journal.close()
        Mirror(other.folder, uri).bring_up_to_date()
        first, second = read_state(finished.folder), read_state(other.folder)
        assert first.experiment_id == second.experiment_id
        assert first.parent_run_id != second.parent_run_id
        assert not set(first.runs.values()) & set(second.runs.values())
        runs = MlflowClient(uri).search_runs([first.experiment_id])
        assert len(runs) == len(before) + 2


class TestWhatPeopleDoToMlflow:
    def test_a_deleted_child_run_is_named_and_holds_nothing_up(self, study, uri):
        study.open()
        study.propose(0)
        mirror = Mirror(study.folder, uri)
        mirror.bring_up_to_date()
        MlflowClient(uri).delete_run(read_run_ids(study.folder)[0])
        study.epochs(0, 1, 1)
        study.trial(1)
        mirror.bring_up_to_date()
        assert "trial 0" in mirror.health().left_out[0]
        assert mirror.health().events_waiting == 0
        assert 1 in read_run_ids(study.folder)

    def test_a_deleted_study_run_is_written_anew(self, study, uri, contents, undisturbed):
        study.open()
        study.trial(0)
        mirror = Mirror(study.folder, uri)
        mirror.bring_up_to_date()
        MlflowClient(uri).delete_run(read_state(study.folder).parent_run_id)
        study.trial(1)
        with pytest.raises(TrackingError, match=r"deleted|active"):
            mirror.bring_up_to_date()
        mirror.bring_up_to_date()
        assert contents(uri, study.folder) == undisturbed(study.folder)

    def test_a_new_database_gets_everything(self, finished, uri, tmp_path, contents, undisturbed):
        Mirror(finished.folder, uri).bring_up_to_date()
        other = f"sqlite:///{tmp_path / 'other.db'}"
        Mirror(finished.folder, other).bring_up_to_date()
        assert contents(other, finished.folder) == undisturbed(finished.folder)

    def test_a_deleted_experiment_is_said(self, finished, uri):
        Mirror(finished.folder, uri).bring_up_to_date()
        client = MlflowClient(uri)
        client.delete_experiment(read_state(finished.folder).experiment_id)
        with pytest.raises(TrackingError, match="experiments restore"):
            Mirror(finished.folder, uri).bring_up_to_date()
        client.restore_experiment(read_state(finished.folder).experiment_id)
        Mirror(finished.folder, uri).bring_up_to_date()

    def test_a_run_that_is_there_twice_is_brought_down_to_one(self, study, uri, contents):
        """As after a request that timed out and was carried out all the same."""
        study.open()
        study.trial(0)
        Mirror(study.folder, uri).bring_up_to_date()
        before = contents(uri, study.folder)
        state = read_state(study.folder)
        client = MlflowClient(uri)
        tags = client.get_run(state.runs[0]).data.tags
        client.create_run(state.experiment_id, tags=tags, start_time=1)
        Mirror(study.folder, uri).bring_up_to_date()
        assert contents(uri, study.folder) == before


class TestTheThread:
    def test_follows_and_closes(self, study, uri, contents, undisturbed):
        mirror = Mirror(study.folder, uri)
        mirror.start()
        study.open()
        study.trial(0)
        wait_until(lambda: mirror.health().events_waiting == 0)
        study.trial(1)
        study.end()
        assert mirror.close(20)
        assert contents(uri, study.folder) == undisturbed(study.folder)

    def test_a_database_locked_for_a_while(self, study, uri, tmp_path, contents, undisturbed):
        study.open()
        mirror = Mirror(study.folder, uri)
        mirror.bring_up_to_date()
        blocker = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        mirror.start()
        began = time.monotonic()
        study.trial(0)
        study.end()
        assert mirror.close(0.5) is False
        assert time.monotonic() - began < 2
        assert mirror.health().events_waiting > 0
        blocker.execute("ROLLBACK")
        blocker.close()
        Mirror(study.folder, uri).bring_up_to_date()
        assert contents(uri, study.folder) == undisturbed(study.folder)

    def test_a_read_only_database_delays_nothing(self, study, uri, tmp_path, contents, undisturbed):
        study.open()
        Mirror(study.folder, uri).bring_up_to_date()
        read_only = f"sqlite:///file:{tmp_path / 'mlflow.db'}?mode=ro&uri=true"
        mirror = Mirror(study.folder, read_only)
        mirror.start()
        study.trial(0)
        study.end()
        wait_until(lambda: mirror.health().problem)
        assert "readonly" in mirror.health().problem
        assert mirror.health().failing_since is not None
        assert mirror.close(20) is False
        assert len(read_record(study.folder.journal).trials) == 1
        Mirror(study.folder, uri).bring_up_to_date()
        assert contents(uri, study.folder) == undisturbed(study.folder)

    def test_a_failure_is_told_once_and_so_is_its_end(self, study, uri, monkeypatch, caplog):
        monkeypatch.setattr(mirror_module, "_PATIENCE_SECONDS", 0.0)
        caplog.set_level("INFO", "tuning")
        study.open()
        said: list[str] = []
        mirror = Mirror(study.folder, uri, said.append)
        mirror.bring_up_to_date()
        broken = _Broken(mirror)
        monkeypatch.setattr(mirror, "_catch_up", broken.catch_up)
        for _ in range(3):
            assert not mirror._attempt()
        problem = read_problem(study.folder)
        assert problem is not None
        assert problem.problem == "the server says no"
        assert len(said) == 1
        assert "has not accepted data for" in said[0]
        assert "the server says no" in said[0]
        broken.is_mended = True
        assert mirror._attempt()
        assert read_problem(study.folder) is None
        assert len(said) == 2
        assert "works again" in said[1]
        assert sum("does not accept data" in record.getMessage() for record in caplog.records) == 3
        assert "works again" in caplog.records[-1].getMessage()

    def test_what_a_later_sync_writes_is_no_problem_any_more(self, study, uri):
        study.open()
        write_problem(study.folder, MirrorProblem(tracking_uri=uri, failing_since=1.0, problem="away"))
        Mirror(study.folder, uri).bring_up_to_date()
        assert read_problem(study.folder) is None
        assert events_waiting(study.folder, read_state(study.folder)) == 0


class _Broken:
    """A server that refuses until it is mended."""

    def __init__(self, mirror: Mirror) -> None:
        self._catch_up = mirror._catch_up
        self.is_mended = False

    def catch_up(self) -> None:
        if not self.is_mended:
            raise TrackingError("the server says no")
        self._catch_up()

import json

import pytest

from tuning.storage.journal import ChampionPicked
from tuning.storage.paths import StudyFolder


def test_json_is_one_object_with_the_promised_names(study, run_cli) -> None:
    finished = run_cli("results", "digits-cnn", "--json")
    assert finished.code == 0
    found = json.loads(finished.out)
    assert {"study", "state", "objective", "champion", "trials"} <= found.keys()
    names = {"number", "state", "params", "metrics", "epochs", "duration_s", "run_id"}
    assert all(names <= trial.keys() for trial in found["trials"])
    assert [trial["number"] for trial in found["trials"]] == list(range(7))
    assert found["champion"] == found["trials"][2]
    assert finished.err == ""
    assert finished.modules.isdisjoint({"torch", "ray", "optuna", "mlflow"})


def test_json_can_be_limited_to_the_best(study, run_cli) -> None:
    found = json.loads(run_cli("results", "digits-cnn", "--json", "--top", "2").out)
    assert [trial["number"] for trial in found["trials"]] == [2, 6] == found["ranking"]


def test_the_table_shows_the_best_first_and_why_trials_failed(study, run_cli) -> None:
    finished = run_cli("results", "digits-cnn", "--top", "3")
    assert finished.code == 0
    out = finished.out
    assert "study digits-cnn finished: all 8 trials are done" in out
    assert "7 trials: 2 completed, 2 stopped early, 2 failed, 1 infeasible" in out
    assert "champion: trial 2, val_accuracy 95.00 %, epoch 2" in out
    rows = [line.split() for line in out.splitlines()]
    heading = rows.index(["trial", "val_accuracy", "epochs", "time", "state", "parameters"])
    assert [row[0] for row in rows[heading + 1 : heading + 4]] == ["2", "6", "0"]
    assert "failed, 2 times (trial 3, 4): ValueError: the worker died" in out
    assert "infeasible, 1 times (trial 5): block 4 leaves no pixel" in out


def test_with_a_second_objective_the_pareto_set_is_shown(tmp_path, events, run_cli) -> None:
    trials = []
    for number, (accuracy, macs) in enumerate([(0.9, 5000), (0.5, 1000), (0.4, 2000), (0.8, 1500)]):
        proposed, *rest = events.trial(number, [accuracy], "completed")
        trials += [proposed.model_copy(update={"size": {"macs": macs}}), *rest]
    search = {"trials": 8, "second_objective": "macs", "scheduler": "none"}
    picked = ChampionPicked(number=3, reason="at most 1,500 macs")
    events.write(tmp_path / "studies", [events.opened(search=search), *trials, picked])
    out = run_cli("results", "digits-cnn").out
    assert "champion: trial 3" in out
    assert "  picked for at most 1,500 macs" in out
    rows = [line.split() for line in out.splitlines()]
    heading = rows.index(["trial", "val_accuracy", "macs", "configuration"])
    assert [row[:4:3] for row in rows[heading + 1 : heading + 4]] == [["1", "1,000"], ["3", "1,500"], ["0", "5,000"]]
    assert json.loads(run_cli("results", "digits-cnn", "--json").out)["pareto"] == [1, 3, 0]


def test_explain_says_what_each_parameter_had_to_do_with_it(tmp_path, events, run_cli) -> None:
    trials = [event for number in range(12) for event in events.trial(number, [0.5 + 0.04 * number], "completed")]
    events.write(tmp_path / "studies", [events.opened(), *trials])
    finished = run_cli("results", "digits-cnn", "--explain")
    assert finished.code == 0
    assert finished.err == ""
    assert "parameter importance over 12 trials" in finished.out
    row = next(line for line in finished.out.splitlines() if line.startswith("optimizer.learning_rate  0."))
    assert "+1.00" in row
    found = json.loads(run_cli("results", "digits-cnn", "--explain", "--json").out)
    assert {one["path"] for one in found["importance"]["parameters"]} == {"model.filters", "optimizer.learning_rate"}
    assert len(found["trials"]) == 12


def test_a_study_that_has_just_begun_has_no_champion(tmp_path, events, run_cli) -> None:
    events.write(tmp_path / "studies", [events.opened()])
    found = json.loads(run_cli("results", "digits-cnn", "--json").out)
    assert (found["champion"], found["trials"]) == (None, [])
    assert run_cli("results", "digits-cnn").code == 0


def test_a_driver_that_died_left_an_interrupted_study(tmp_path, events, run_cli) -> None:
    events.write(tmp_path / "studies", [events.opened(), *events.trial(0, [0.5], None)])
    assert json.loads(run_cli("results", "digits-cnn", "--json").out)["state"] == "interrupted"


@pytest.mark.parametrize("command", ["results", "test", "status", "stop", "sync", "resume"])
def test_an_unknown_study_lists_the_nearest(command: str, study, run_cli) -> None:
    finished = run_cli(command, "digits-cn")
    assert finished.code == 2
    assert finished.out == ""
    assert "did you mean digits-cnn?" in finished.err


def test_a_journal_that_is_none_is_refused(study: StudyFolder, run_cli) -> None:
    study.journal.write_text("not an event\n")
    finished = run_cli("results", "digits-cnn")
    assert finished.code == 2
    assert "is no event" in finished.err


@pytest.mark.parametrize("command", ["results", "resume", "status", "test"])
def test_a_study_of_a_newer_version_is_refused(command: str, tmp_path, events, run_cli) -> None:
    events.write(tmp_path / "studies", [events.opened(telepathy={"strength": 3})])
    finished = run_cli(command, "digits-cnn")
    assert finished.code == 2
    assert "was written by version 0 of this program" in finished.err
    assert "telepathy" in finished.err


def test_an_empty_journal_belongs_to_a_study_that_has_not_begun(study: StudyFolder, run_cli) -> None:
    study.journal.write_text("")
    finished = run_cli("results", "digits-cnn")
    assert finished.code == 2
    assert "has not begun" in finished.err


def test_a_first_line_cut_short_belongs_to_a_study_that_has_not_begun(study: StudyFolder, run_cli) -> None:
    study.journal.write_text('{"event": "study_op')
    finished = run_cli("results", "digits-cnn")
    assert finished.code == 2
    assert "has not begun" in finished.err


def test_reasons_that_speak_to_the_terminal_are_shown(tmp_path, events, run_cli) -> None:
    hostile = "\x1b[2Jcleared\x07 \u202e"
    told = [events.opened(), *events.trial(0, [0.5], "completed"), *events.trial(1, [], "failed", hostile)]
    folder = events.write(tmp_path / "studies", told)
    folder.manifest.write_text('{"splits": {"validation": {"images": "many"}}}')
    for arguments in (("results", "digits-cnn"), ("results", "digits-cnn", "--json"), ("status",)):
        finished = run_cli(*arguments)
        assert finished.code == 0
        assert not set(finished.out + finished.err) & {"\x1b", "\x07", "\u202e"}
    assert "\\x1b[2Jcleared" in run_cli("results", "digits-cnn").out
    assert "splits.json is invalid: no interval" in run_cli("results", "digits-cnn").out


@pytest.mark.parametrize("content", ["", "[", "[]", "null", "{}", '{"splits": 1}', "[" * 100_000])
def test_a_manifest_that_is_not_understood(study, run_cli, content: str) -> None:
    study.manifest.write_text(content)
    finished = run_cli("results", "digits-cnn")
    assert finished.code == 0
    assert "champion: trial 2" in finished.out
    assert "splits.json is invalid" in finished.out

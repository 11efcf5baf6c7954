import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cli.commands import pick
from tuning.selection.pick import Picked

_STUDY = """\
name: small
data: {dataset: digits}
model: {name: cnn, blocks: 1, dense_units: 8}
training: {max_epochs: 1}
search: {trials: 3, searcher: nsga2, scheduler: none, second_objective: parameters, keep_checkpoints: 1}
space:
  model.filters: {choices: [2, 4, 8, 16]}
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give at least one limit"),
        (["--max-parameters", "0"], "--max-parameters 0: give a number above 0"),
        (["--max-macs", "nan"], "--max-macs nan: give a number above 0"),
        (["--max-latency", "10"], "--max-latency 10: write a time above 0 with its unit"),
        (["--max-latency", "1.2.3ms"], "--max-latency 1.2.3ms: write a time above 0"),
        (["--max-latency", "0ms"], "--max-latency 0ms: write a time above 0"),
    ],
)
def test_limits_that_say_nothing_are_refused(arguments: list[str], message: str, study, run_cli) -> None:
    finished = run_cli("pick", "digits-cnn", *arguments)
    assert (finished.code, finished.out) == (2, "")
    assert message in finished.err
    assert finished.modules.isdisjoint({"torch", "ray", "optuna", "mlflow"})


def test_an_unknown_study_lists_the_nearest(study, run_cli) -> None:
    finished = run_cli("pick", "digits-cn", "--max-parameters", "5e6")
    assert finished.code == 2
    assert "did you mean digits-cnn?" in finished.err


def test_a_person_reads_what_was_picked_and_what_was_not_available(capsys: pytest.CaptureFixture[str]) -> None:
    picked = Picked(
        study="small",
        trial=3,
        objective="val_accuracy",
        value=0.95,
        size={"parameters": 4000, "macs": 90000},
        limits="at most 5,000 parameters and 10 ms",
        latency_s={5: 0.012, 3: 0.0081},
        unavailable=(7, 4),
        model_uri="models:/small/2",
    )
    pick._print(picked)
    assert capsys.readouterr().out.splitlines() == [
        "trial 3 is now the champion of study small: val_accuracy 95.00 %",
        "picked for at most 5,000 parameters and 10 ms: 4,000 parameters, 90,000 macs",
        "median time per image on one CPU thread of this machine:",
        "  trial 5  12 ms",
        "  trial 3  8.1 ms",
        "better, but unavailable because the weights were not kept (search.keep_checkpoints): trial 7, 4",
        "model: models:/small/2",
    ]


@pytest.mark.slow
def test_a_picked_champion_is_registered_tested_and_kept(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY)
    run = run_cli("run", "study.yaml", "--json")
    assert run.code == 0, run.err
    before = json.loads(run.out)
    sizes = {trial["number"]: trial["size"]["parameters"] for trial in before["trials"]}
    smallest = before["pareto"][0]
    assert sizes[smallest] == min(sizes.values())

    limits = ("--max-parameters", str(sizes[smallest]), "--max-latency", "10s")
    picked = run_cli("pick", "small", *limits, "--json")
    assert picked.code == 0, picked.err
    found = json.loads(picked.out)
    assert (found["trial"], found["size"]["parameters"]) == (smallest, sizes[smallest])
    assert 0 < found["latency_s"][str(smallest)] < 10
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert client.get_model_version_by_alias("small", "champion").tags["tune.trial"] == str(smallest)

    extended = run_cli("resume", "small", "--trials", "+1", "--json")
    assert extended.code == 0, extended.err
    after = json.loads(extended.out)
    assert (after["champion"]["number"], after["picked"]) == (smallest, found["limits"])
    assert json.loads(run_cli("test", "small", "--json").out)["trial"] == smallest

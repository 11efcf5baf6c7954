import json
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_a_study_with_two_objectives_from_run_to_pick_to_test(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY)
    run = run_cli("run", "study.yaml", "--json")
    assert run.code == 0, run.err
    before = json.loads(run.out)
    sizes = {trial["number"]: trial["size"]["parameters"] for trial in before["trials"]}
    smallest = before["pareto"][0]
    assert sizes[smallest] == min(sizes.values())
    table = run_cli("results", "small").out
    assert "beaten by no trial in both val_accuracy and parameters" in table

    limits = ("--max-parameters", str(sizes[smallest]), "--max-latency", "10s")
    picked = run_cli("pick", "small", *limits, "--json")
    assert picked.code == 0, picked.err
    found = json.loads(picked.out)
    assert (found["trial"], found["size"]["parameters"]) == (smallest, sizes[smallest])
    assert 0 < found["latency_s"][str(smallest)] < 10
    assert "is now the champion" in run_cli("pick", "small", *limits).out

    extended = run_cli("resume", "small", "--trials", "+1", "--json")
    assert extended.code == 0, extended.err
    after = json.loads(extended.out)
    assert after["champion"]["number"] == smallest
    assert after["picked"] == found["limits"]
    assert f"picked for at most {sizes[smallest]:,} parameters" in run_cli("results", "small").out
    assert json.loads(run_cli("test", "small", "--json").out)["trial"] == smallest

    nothing = run_cli("pick", "small", "--max-parameters", "1")
    assert nothing.code == 2
    assert f"the smallest has {min(sizes.values()):,} parameters" in nothing.err

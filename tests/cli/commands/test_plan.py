import json
from pathlib import Path

import pytest

_STUDY = """\
name: small
data: {dataset: digits}
training: {max_epochs: 9}
search: {trials: 50}
space:
  model.filters: {choices: [8, 16]}
  model.blocks: {low: 1, high: 5}
"""


def test_json_holds_the_promised_keys(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY)
    finished = run_cli("plan", "study.yaml", "--json")
    assert finished.code == 0, finished.err
    assert finished.err == ""
    made = json.loads(finished.out)
    assert {"parameters", "cardinality", "samples", "infeasible_fraction", "epochs"} <= made.keys()
    assert made["cardinality"] == 10
    assert made["infeasible_fraction"] == 0.4  # 8 pixels take three pools
    assert not (tmp_path / "studies").exists()
    assert made["time"] is None
    assert "mlflow" not in finished.modules


def test_calibration_estimates_the_time_and_leaves_nothing_here(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY)
    cache = {"TUNE_CACHE_DIR": str(tmp_path / "cache")}
    before = set(tmp_path.iterdir())
    finished = run_cli("plan", "study.yaml", "--calibrate", "--json", "--set", "resources.cpus_per_trial=1", env=cache)
    assert finished.code == 0, finished.err
    assert "calibrating" in finished.err
    time = json.loads(finished.out)["time"]
    assert 0 < time["total"]["low"] <= time["total"]["expected"] <= time["total"]["high"]
    assert {path.name for path in set(tmp_path.iterdir()) - before} == {"cache", "modules.txt"}
    assert "mlflow" not in finished.modules
    out = run_cli("plan", "study.yaml", "--calibrate", "--set", "confirm.top=1", env=cache).out
    assert "\ntime: about " in out
    assert "including about " in out
    assert "trials at once: " in out


def test_the_table_says_what_is_searched_what_it_costs_and_what_cannot_be(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY)
    out = run_cli("plan", "study.yaml").out
    assert "study small: 10 trials, tpe proposes, asha stops" in out
    assert "model.blocks   1 to 5" in out
    assert "configurations: 10\n" in out
    assert "cannot be built: 40.0 % of 10 configurations" in out
    assert "epochs: 9 per trial, decided at " in out
    assert "disk for checkpoints: at most " in out


_STAGED = """\
name: small
data: {dataset: digits}
training: {max_epochs: 9}
search:
  stages:
    - {parameters: [model.filters, model.blocks], searcher: grid, scheduler: none, trials: 50, max_epochs: 2}
    - {parameters: [model.dropout], trials: 7, train_fraction: 0.5}
confirm: {top: 1, seeds: 2}
space:
  model.filters: {choices: [8, 16]}
  model.blocks: {low: 1, high: 5}
  model.dropout: {low: 0.0, high: 0.5}
"""


def test_rounds_are_planned_one_by_one_and_added_up(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STAGED)
    made = json.loads(run_cli("plan", "study.yaml", "--json").out)
    first, second = made["stages"]
    assert (first["parameters"], first["searcher"], first["trials"]) == (["model.filters", "model.blocks"], "grid", 10)
    assert (first["cardinality"], first["epochs"]["most"]) == (10, 20)
    assert (second["cardinality"], second["epochs"]["most"], second["train_fraction"]) == ("continuous", 63, 0.5)
    assert (made["trials"], made["epochs"]["most"], made["epochs"]["confirm"]) == (17, 83, 18)
    assert made["cardinality"] == "continuous"
    assert [parameter["path"] for parameter in made["parameters"]] == ["model.filters", "model.blocks", "model.dropout"]
    assert made["infeasible_fraction"] == pytest.approx(4 / 110, abs=1e-4)  # of 10 in the first and 100 in the second
    out = " ".join(run_cli("plan", "study.yaml").out.split())  # narrow columns are folded
    assert "study small: 17 trials, 2 stages" in out
    assert "50 % of" in out


def test_a_wrong_file_is_refused(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_STUDY + "nonsense: 1\n")
    finished = run_cli("plan", "study.yaml")
    assert finished.code == 2
    assert "study.yaml:8: nonsense" in finished.err

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli import main as command
from tuning.storage.paths import StudyFolder

_GOOD = """\
name: small
data: {dataset: digits}
training: {max_epochs: 1}
search: {trials: 2}
space:
  model.filters: {choices: [8, 16]}
"""

_WRONG = {
    "not YAML": (_GOOD + "model: {name: cnn", ["study.yaml:", "YAML"]),
    "no mapping": ("- 1\n- 2\n", ["study.yaml:1:", "list"]),
    "empty": ("", ["study.yaml:1:", "empty"]),
    "unknown key": (_GOOD + "serach: {}\n", ["study.yaml:7: serach", "search"]),
    "unknown field": (_GOOD.replace("max_epochs", "max_epoch"), ["study.yaml:3: training.max_epoch", "max_epochs"]),
    "duplicate key": (_GOOD + "name: other\n", ["study.yaml:7: name", "line 1"]),
    "wrong type": (_GOOD.replace("trials: 2", "trials: many"), ["study.yaml:4: search.trials", "many"]),
    "low above high": (
        _GOOD.replace("{choices: [8, 16]}", "{low: 16, high: 8}"),
        ["study.yaml:6: space.model.filters", "low 16 is above high 8"],
    ),
    "log with zero": (
        _GOOD.replace("model.filters: {choices: [8, 16]}", "model.dropout: {low: 0, high: 0.5, log: true}"),
        ["study.yaml:6: space.model.dropout", "log needs low above 0"],
    ),
    "unknown data set": (_GOOD.replace("digits", "digit"), ["study.yaml:2: data.dataset", "digits", "cifar10"]),
    "unknown model": (_GOOD + "model: {name: cnm}\n", ["study.yaml:7: model", "cnn", "conv_net"]),
    "when on nothing": (
        _GOOD.replace("[8, 16]}", "[8, 16], when: {optimizer.nme: sgd}}"),
        ["study.yaml:6:", "optimizer.nme"],
    ),
    "empty space": (_GOOD.split("space:")[0] + "space: {}\n", ["study.yaml:5: space"]),
}


@pytest.mark.parametrize("case", _WRONG)
def test_a_wrong_study_file_is_explained_by_file_line_and_key(case: str, tmp_path: Path, run_cli) -> None:
    content, expected = _WRONG[case]
    (tmp_path / "study.yaml").write_text(content)
    finished = run_cli("run", "study.yaml")
    assert finished.code == 2
    assert finished.out == ""
    for piece in expected:
        assert piece in finished.err
    assert finished.modules.isdisjoint({"ray", "torch", "optuna", "mlflow"})
    assert not (tmp_path / "studies").exists()


def test_a_missing_file_names_the_nearest(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_GOOD)
    finished = run_cli("run", "stody.yaml")
    assert finished.code == 2
    assert "did you mean study.yaml?" in finished.err


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["--set", "search.trails=3"], "--set search.trails=3: search.trails"),
        (["--set", "nonsense"], "nonsense"),
        (["--trials", "0"], "search.trials"),
        (["--time-budget", "soon"], "soon"),
        (["--name", "a/b"], "a/b"),
    ],
)
def test_wrong_options_are_explained(arguments: list[str], piece: str, tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_GOOD)
    finished = run_cli("run", "study.yaml", *arguments)
    assert finished.code == 2
    assert piece in finished.err


def test_a_name_in_use_says_how_to_resume_or_rename(tmp_path: Path, study, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_GOOD)
    finished = run_cli("run", "study.yaml", "--name", "digits-cnn")
    assert finished.code == 2
    assert "tune-cli resume digits-cnn" in finished.err
    assert "--name" in finished.err
    assert "ray" not in finished.modules


def test_a_folder_that_is_no_study_is_left_alone(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_GOOD)
    (tmp_path / "studies" / "small").mkdir(parents=True)
    for arguments in (["run", "study.yaml"], ["resume", "small"], ["results", "small"]):
        finished = run_cli(*arguments)
        assert finished.code == 2
        assert "not a study" in finished.err


def test_resume_auto_refuses_a_file_that_has_changed(tmp_path: Path, study, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_GOOD)
    finished = run_cli("run", "study.yaml", "--name", "digits-cnn", "--resume", "auto")
    assert finished.code == 2
    assert "training.max_epochs: was 4, is 1" in finished.err
    assert "space.optimizer.learning_rate" in finished.err
    assert "ray" not in finished.modules


def test_changes_are_accepted_in_a_study_that_goes_on(tmp_path: Path, study, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_GOOD)
    finished = run_cli("run", "study.yaml", "--name", "digits-cnn", "--accept-changes")
    assert finished.code == 2
    assert "--accept-changes needs --resume auto" in finished.err
    finished = run_cli("run", "study.yaml", "--name", "digits-cnn", "--resume", "auto", "--accept-changes")
    assert finished.code == 2
    assert "training.max_epochs: was 4, is 1 (refused: " in finished.err
    assert "ray" not in finished.modules


@pytest.mark.parametrize("arguments", [["--trials", "5"], ["--trials", "+0"], ["--time-budget", "soon"]])
def test_resume_asks_for_what_to_add(arguments: list[str], study, run_cli) -> None:
    finished = run_cli("resume", "digits-cnn", *arguments)
    assert finished.code == 2
    assert arguments[0] in finished.err


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow database for all: making a new one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"


@pytest.fixture
def fails_before_ray(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Run the command in this process, where the libraries are loaded already, and return what it says."""
    import ray

    def init(*arguments: object, **options: object) -> None:
        pytest.fail("Ray was started")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)

    def run(content: str, *arguments: str) -> str:
        (tmp_path / "study.yaml").write_text(content)
        monkeypatch.setattr(sys, "argv", ["tune-cli", "run", "study.yaml", *arguments])
        with pytest.raises(SystemExit) as exit_:
            command.main()
        assert exit_.value.code == 2
        assert not (tmp_path / "studies" / "small" / "journal.jsonl").exists()
        return capsys.readouterr().err

    return run


def test_more_resources_than_the_machine_has(fails_before_ray) -> None:
    said = fails_before_ray(_GOOD, "--set", "resources.cpus_per_trial=1000")
    assert "cpus_per_trial is 1000" in said


def test_an_unreachable_tracking_server(fails_before_ray) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        said = fails_before_ray(_GOOD, "--tracking-uri", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert "--tracking-uri" in said


def test_images_too_small_for_the_blocks(fails_before_ray) -> None:
    said = fails_before_ray(_GOOD, "--set", "model.blocks=7")
    assert "block" in said


def _folder(root: Path, classes: list[str], images: int) -> str:
    from PIL import Image

    for name in classes:
        (root / "train" / name).mkdir(parents=True)
        for number in range(images):
            Image.new("RGB", (16, 16), (number, 0, 0)).save(root / "train" / name / f"{number}.png")
    return _GOOD.replace("dataset: digits", f"dataset: image_folder, root: {root}, image_size: 16")


def test_a_root_without_images(tmp_path: Path, fails_before_ray) -> None:
    said = fails_before_ray(_folder(tmp_path / "images", ["ants", "bees"], 0))
    assert str(tmp_path / "images") in said


def test_a_root_that_does_not_exist(tmp_path: Path, fails_before_ray) -> None:
    said = fails_before_ray(_GOOD.replace("dataset: digits", "dataset: image_folder, root: nowhere, image_size: 16"))
    assert "nowhere" in said


def test_one_class_only(tmp_path: Path, fails_before_ray) -> None:
    said = fails_before_ray(_folder(tmp_path / "images", ["ants"], 20))
    assert "class" in said
    assert "ants" in said


@pytest.mark.slow
def test_a_study_from_run_to_test(tmp_path: Path, run_cli) -> None:
    """The whole way through the program, with the real libraries, in processes of their own."""
    (tmp_path / "study.yaml").write_text(_GOOD)
    run = run_cli("run", "study.yaml", "--json")
    assert run.code == 0, run.err
    found = json.loads(run.out)
    assert (found["study"], found["state"], found["objective"]) == ("small", "finished", "val_accuracy")
    assert [trial["number"] for trial in found["trials"]] == [0, 1]
    assert found["champion"] in found["trials"]
    assert "trial 0 completed" in run.err

    results = run_cli("results", "small", "--json")
    again = json.loads(results.out)
    assert all(trial["run_id"] for trial in again["trials"])

    first, second = (json.loads(run_cli("test", "small", "--json").out) for _ in range(2))
    assert (first["openings"], second["openings"]) == (1, 2)
    assert first["accuracy"] == second["accuracy"]
    assert first["interval"][0] < first["accuracy"] < first["interval"][1]
    assert len(first["per_class"]) == 10

    extended = run_cli("resume", "small", "--trials", "+1")
    assert extended.code == 0, extended.err
    assert "3 trials" in extended.out
    repeated = run_cli("run", "study.yaml", "--resume", "auto", "--json")
    assert repeated.code == 0, repeated.err
    assert len(json.loads(repeated.out)["trials"]) == 3

    (tmp_path / "study.yaml").write_text(_GOOD.replace("trials: 2", "trials: 4").replace("[8, 16]", "[4]"))
    refused = run_cli("run", "study.yaml", "--resume", "auto")
    assert refused.code == 2
    assert "--accept-changes" in refused.err
    accepted = run_cli("run", "study.yaml", "--resume", "auto", "--accept-changes", "--json")
    assert accepted.code == 0, accepted.err
    *former, new = json.loads(accepted.out)["trials"]
    assert [trial["number"] for trial in former] == [0, 1, 2]
    assert (new["number"], new["params"]) == (3, {"model.filters": 4})
    journal = (tmp_path / "studies" / "small" / "journal.jsonl").read_bytes()
    assert run_cli("run", "study.yaml", "--resume", "auto").code == 0  # the new file is the study's now
    assert (tmp_path / "studies" / "small" / "journal.jsonl").read_bytes() == journal


@pytest.mark.slow
def test_a_stopped_study_exits_130_and_says_how_to_go_on(tmp_path: Path, run_cli) -> None:
    (tmp_path / "study.yaml").write_text(_GOOD.replace("max_epochs: 1", "max_epochs: 500"))
    code = "from cli.main import main; main()"
    driver = subprocess.Popen(
        [sys.executable, "-c", code, "run", "study.yaml"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = tmp_path / "studies" / "small" / "journal.jsonl"
    try:
        while driver.poll() is None and not (journal.exists() and "epoch_ended" in journal.read_text()):
            time.sleep(0.2)
        assert "running" in run_cli("status", "small").out
        stopped = run_cli("stop", "small")
        assert (stopped.code, "tune-cli resume small" in stopped.out) == (0, True), stopped.err
        _, said = driver.communicate(timeout=60)
    finally:
        driver.kill()
    assert driver.returncode == 130
    assert "tune-cli resume small" in said
    assert "interrupted" in run_cli("status", "small").out


@pytest.mark.parametrize("name", ["splits.json", "ray", "checkpoints", "tracking.json", "driver.lock"])
def test_a_study_with_a_link_in_it_is_refused_and_its_target_stays(
    tmp_path: Path, study: StudyFolder, run_cli, name: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (study.path / name).symlink_to(precious)
    for subcommand in ("resume", "results", "status", "stop", "test", "sync"):
        finished = run_cli(subcommand, "digits-cnn")
        assert finished.code == 2, finished.err
        assert f"{study.path.relative_to(tmp_path) / name} is a link to {precious}" in finished.err
    assert "is a link to" in run_cli("status").out
    assert precious.read_text() == "precious"

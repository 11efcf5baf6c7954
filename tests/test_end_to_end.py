"""The whole program in its own processes: real Ray, Optuna and MLflow on scikit-learn's digits."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.workplace import Workplace
from tuning.storage.journal import TrialFinished


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A study that ran undisturbed."""
    workplace = Workplace(tmp_path_factory.mktemp("finished"))
    output = workplace.run("run", "small.yaml", "--json")
    (workplace.folder / "output.json").write_text(output)
    return workplace


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_a_study_runs_from_file_to_champion(finished: Workplace) -> None:
    results = json.loads((finished.folder / "output.json").read_text())
    assert {"study", "state", "objective", "champion", "trials"} <= set(results)
    assert (results["study"], results["state"], results["objective"]) == ("small", "finished", "val_accuracy")
    assert [trial["number"] for trial in results["trials"]] == list(range(6))
    best = max(trial["metrics"]["best_val_accuracy"] for trial in results["trials"])
    assert results["champion"]["metrics"]["best_val_accuracy"] == best > 0.5
    for trial in results["trials"]:
        assert {"number", "state", "params", "metrics", "epochs", "duration_s", "run_id"} <= set(trial)
        assert trial["state"] in ("completed", "stopped")
        assert ("optimizer.momentum" in trial["params"]) == (trial["params"]["optimizer.name"] == "sgd")


def test_mlflow_holds_the_same_numbers(finished: Workplace) -> None:
    results = json.loads(finished.run("results", "small", "--json"))
    runs = finished.child_runs()
    assert {trial["number"]: trial["run_id"] for trial in results["trials"]} == {
        number: run.info.run_id for number, run in runs.items()
    }
    client = MlflowClient(finished.store)
    for trial in finished.record().trials:
        run = runs[trial.number]
        assert all(run.data.params[path] == str(value) for path, value in trial.params.items())
        for name in ("train_loss", "val_loss", "val_accuracy", "learning_rate"):
            history = {point.step: point.value for point in client.get_metric_history(run.info.run_id, name)}
            assert history == {epoch: metrics[name] for epoch, metrics in enumerate(trial.epochs, start=1)}
        shown = next(result for result in results["trials"] if result["number"] == trial.number)
        assert all(run.data.metrics[name] == value for name, value in shown["metrics"].items())


def test_the_registered_champion_classifies_a_batch_elsewhere(finished: Workplace, tmp_path: Path) -> None:
    script = (
        "import mlflow, numpy, sys\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pytorch.load_model('models:/small@champion')\n"
        "import torch\n"
        "print(tuple(model(torch.rand(5, 1, 8, 8)).shape), not model.training)\n"
        "loaded = mlflow.pyfunc.load_model('models:/small@champion')\n"
        "print(loaded.metadata.signature is not None, loaded.input_example is not None)\n"
        "print(loaded.predict(numpy.zeros((2, 1, 8, 8), dtype=numpy.float32)).shape)\n"
        "images = torch.rand(4, 1, 8, 8)\n"
        "print(torch.allclose(model(images)[:1], model(images[:1]), atol=1e-5))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, finished.store], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["(5, 10) True", "True True", "(2, 10)", "True"]


def test_the_sealed_test_is_opened_once_and_every_opening_counted(finished: Workplace) -> None:
    report = json.loads(finished.run("test", "small", "--json"))
    assert {"accuracy", "n", "interval", "per_class", "openings"} <= set(report)
    assert report["n"] == 359
    low, high = report["interval"]
    assert 0.5 < low < report["accuracy"] < high <= 1.0
    assert report["openings"] == 1
    assert list(report["per_class"]) == [str(digit) for digit in range(10)]
    # The digits are nearly equally frequent, so the classes' mean is near the whole.
    assert sum(report["per_class"].values()) / 10 == pytest.approx(report["accuracy"], abs=0.02)
    assert json.loads(finished.run("test", "small", "--json"))["openings"] == 2
    assert len(finished.record().tests) == 2


def test_a_finished_study_is_left_alone_or_extended(finished: Workplace) -> None:
    before = finished.events()
    finished.run("resume", "small")
    assert [event for event in finished.events() if isinstance(event, TrialFinished)] == [
        event for event in before if isinstance(event, TrialFinished)
    ]
    finished.run("resume", "small", "--trials", "+2")
    record = finished.record()
    assert len(record.trials) == 8
    assert all(trial.is_finished for trial in record.trials)
    assert set(finished.child_runs()) == set(range(8))
    assert len({trial.hash for trial in record.trials}) == 8


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_driver_that_ends_in_mid_study_is_taken_up_where_it_was(workplace: Workplace, how: signal.Signals) -> None:
    process = workplace.start("run", "small.yaml")
    workplace.wait_for("epoch_ended", 4, process)
    os.kill(process.pid, how)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == (-how if how == signal.SIGKILL else 130), errors
    if how != signal.SIGKILL:
        assert "tune-cli resume small" in errors
    before = workplace.record()
    finished = {trial.number: trial for trial in before.trials if trial.is_finished}
    assert before.state == ("running" if how == signal.SIGKILL else "interrupted")

    workplace.run("resume", "small")
    after = workplace.record()
    assert after.state == "finished"
    assert [trial.number for trial in after.trials] == list(range(6))
    assert all(trial.is_finished for trial in after.trials)
    assert {number: after.trials[number] for number in finished} == finished
    ends = Counter(event.number for event in workplace.events() if isinstance(event, TrialFinished))
    assert set(ends.values()) == {1}
    assert set(workplace.child_runs()) == set(range(6))

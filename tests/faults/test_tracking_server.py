"""MLflow's server is killed and restarted while a whole study runs: nothing waits, and all of it arrives."""

import time

import pytest
from mlflow import MlflowClient

from tests.faults.disturbed import Disturbed
from tests.tuning.tracking.test_faults import Server


@pytest.mark.slow
def test_server_killed_and_restarted_in_mid_study(workplace: Disturbed) -> None:
    server = Server(workplace.folder, workplace.store)
    server.start()
    try:
        settings = ("--set", "search.scheduler=none", "--set", "training.max_epochs=8")
        process = workplace.start("run", "small.yaml", "--tracking-uri", server.uri, *settings)
        workplace.wait_for("trial_finished", 1, process)
        server.kill()
        down = time.time()
        workplace.wait_for("trial_finished", 4, process)  # the study does not wait for it
        server.start()
        up = time.time()
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, output + errors
        # What came too late for a study that does not wait.
        workplace.run("sync", "small", "--tracking-uri", server.uri)
        workplace.run("resume", "small", "--tracking-uri", server.uri)
    finally:
        server.kill()
    record, runs = workplace.record(), workplace.child_runs()
    assert any(down < event.time < up for event in workplace.events())
    assert set(runs) == set(range(6))
    client = MlflowClient(workplace.store)
    for trial in record.trials:
        history = client.get_metric_history(runs[trial.number].info.run_id, "val_loss")
        assert sorted((point.step, point.value) for point in history) == [
            (epoch, metrics["val_loss"]) for epoch, metrics in enumerate(trial.epochs, start=1)
        ]
    assert str(client.get_model_version_by_alias("small", "champion").version) == "1"

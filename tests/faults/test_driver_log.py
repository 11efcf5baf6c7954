"""What a study's driver met can be read afterwards: a worker that died, and an MLflow that was away."""

import re

import pytest

from tests.faults.disturbed import Disturbed, wait_until
from tests.tuning.tracking.test_faults import Server


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_worker_and_a_killed_server(workplace: Disturbed) -> None:
    server = Server(workplace.folder, workplace.store)
    server.start()
    address = server.uri.replace("://", "://me:hunter2@")
    settings = ("--set", "search.scheduler=none", "--set", "training.max_epochs=40", "--set", "search.trials=2")
    try:
        process = workplace.start("run", "small.yaml", "--verbose", "--tracking-uri", address, *settings)
        workplace.wait_for("epoch_ended", 3, process)
        server.kill()
        workplace.kill_worker(process)
        wait_until(workplace.study.mirror_problem.exists, process)
        status = workplace.run("status", "small")
        server.start()
        output, errors = process.communicate(timeout=240)
    finally:
        server.kill()
    assert process.returncode == 0, output + errors
    log = workplace.study.log.read_text()
    for line in (
        "INFO tuning.study: driver of study small: version",
        ": worker died (death 1)",
        "ERROR ray.tune.execution.tune_controller: Trial task failed",
        "WARNING tuning.tracking.mirror: MLflow at http://me:***@127.0.0.1",
        " works again, after ",
        " completed",
        "study finished: all 2 trials are done",
    ):
        assert line in log
        assert line in errors
    assert "has not accepted data since" in status
    assert re.search("refused|reset by peer", status.lower())  # the reason, as the system words it
    assert "hunter2" not in log + output + errors + status

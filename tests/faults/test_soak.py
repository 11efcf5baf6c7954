"""The soak of `soak.py`, short."""

import time
from pathlib import Path

import pytest

from tests.faults.soak import prepare, report, verify


@pytest.mark.slow
def test_short_soak_loses_nothing(tmp_path: Path) -> None:
    soak = prepare(tmp_path, trials=30, seed=1, pause=(1.0, 3.0))
    began = time.monotonic()
    record = soak.run()
    print(report(soak, record, time.monotonic() - began))
    verify(soak, record)
    assert soak.faults

"""Workplaces to be disturbed."""

from pathlib import Path

import pytest

from tests.faults.disturbed import Disturbed


@pytest.fixture
def workplace(tmp_path: Path) -> Disturbed:
    return Disturbed(tmp_path)

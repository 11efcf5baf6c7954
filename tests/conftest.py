"""What every test shares: caches and stores of their own, nothing of the user's touched."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.workplace import end_what_is_left

# No test asserts a time: on a busy machine any example may take seconds.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

_LEADS_ELSEWHERE = ("MLFLOW_TRACKING_URI", "TUNE_DATA", "RAY_ADDRESS")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs another user where this one cannot become another."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture(autouse=True, scope="session")
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep decoded images, and every variable that would lead elsewhere, within the test run."""
    former = {name: os.environ.get(name) for name in (*_LEADS_ELSEWHERE, "TUNE_CACHE_DIR")}
    os.environ["TUNE_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    for name in _LEADS_ELSEWHERE:
        os.environ.pop(name, None)
    yield
    for name, value in former.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(autouse=True)
def _environment_left_as_it_was(_own_environment: None) -> Iterator[None]:
    """Name the test that would lead later ones elsewhere; `mlflow.set_tracking_uri` sets a variable, for one."""
    yield
    left = {name: os.environ.pop(name) for name in _LEADS_ELSEWHERE if name in os.environ}
    assert not left, f"this test set {left} and left it set"


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    yield
    end_what_is_left()


@pytest.fixture(scope="session")
def packed_data() -> Path:
    """Folder of the packed real data sets; skips where there is none."""
    place = os.environ.get("TUNE_TEST_DATA")
    if not place:
        pytest.skip("TUNE_TEST_DATA names no folder with mnist.tar.xz, cifar10.tar.xz and hymenoptera.tar")
    return Path(place)


@pytest.fixture(scope="session")
def photographs(packed_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ants and bees, 397 photographs as found: `train/` and `val/`, two classes."""
    folder = tmp_path_factory.mktemp("photographs")
    with tarfile.open(packed_data / "hymenoptera.tar") as archive:
        archive.extractall(folder, filter="data")
    return folder / "hymenoptera"

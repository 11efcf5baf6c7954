"""What every test shares: caches and stores of their own, nothing of the user's touched."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_SHARED_ENVIRONMENT = {
    "MLFLOW_TRACKING_URI": None,
    "TUNE_DATA": None,
    "RAY_ADDRESS": None,
}


@pytest.fixture(autouse=True, scope="session")
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep decoded images, and every variable that would lead elsewhere, within the test run."""
    former = {name: os.environ.get(name) for name in (*_SHARED_ENVIRONMENT, "TUNE_CACHE_DIR")}
    os.environ["TUNE_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    for name in _SHARED_ENVIRONMENT:
        os.environ.pop(name, None)
    yield
    for name, value in former.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


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

"""The promise of the search: most of the grid need not be trained."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    root = Path(__file__).parents[2]
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module("benchmarks.search_efficiency")
    finally:
        sys.path.remove(str(root))


def test_the_table_is_a_whole_space(benchmark: ModuleType) -> None:
    table = benchmark.Table()
    assert len(table.curves) == 576
    assert table.epochs == 576 * 27


def test_tpe_with_asha_needs_at_most_15_percent_of_the_grids_epochs(benchmark: ModuleType) -> None:
    row = benchmark.summarize(benchmark.Table(), "tpe", "asha", workers=1, seeds=4)
    assert row["found"] == 4
    assert row["epochs_mean_percent"] <= 15


def test_more_workers_need_less_time(benchmark: ModuleType) -> None:
    table = benchmark.Table()
    one, sixteen = (benchmark.replay(table, "random", "asha", 0, workers) for workers in (1, 16))
    assert sixteen.duration < one.duration / 4

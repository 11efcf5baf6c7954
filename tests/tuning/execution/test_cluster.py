import os

import pytest

from search_spaces.schema import ResourcesConfig
from trainables.errors import InputError
from tuning.execution.cluster import available_cpus, check_local_resources


def test_trials_share_the_cores_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNE_CPUS", raising=False)
    assert available_cpus() == len(os.sched_getaffinity(0))


def test_another_number_of_cpus_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_CPUS", "16")
    assert available_cpus() == 16
    check_local_resources(ResourcesConfig(cpus_per_trial=16))
    with pytest.raises(InputError, match="cpus_per_trial is 17, but this machine has 16 CPUs"):
        check_local_resources(ResourcesConfig(cpus_per_trial=17))


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TUNE_CPUS", value)
    with pytest.raises(InputError, match="TUNE_CPUS is .* whole number of CPUs above 0, for example 4"):
        available_cpus()

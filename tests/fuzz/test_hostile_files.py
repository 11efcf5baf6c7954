"""Each file made to hurt has its right answer, and no pipe or device is read."""

import os
from pathlib import Path

import pytest

from search_spaces.loading import load_study
from search_spaces.schema import StudyConfig
from tests.fuzz.answers import answer
from tests.fuzz.hostile import EVERY, Hostile
from trainables.errors import InputError

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("hostile", EVERY, ids=lambda hostile: hostile.name)
def test_the_right_answer(hostile: Hostile, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_bytes(hostile.text.encode("utf-8", "surrogatepass"))
    message = answer(file)
    if hostile.said is None:
        assert message is None
    else:
        assert message is not None
        assert hostile.said in message


GOOD = "name: s\ndata: {dataset: digits}\nspace: {model.filters: {choices: [1, 2]}}\n"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.trials=1e18", "search.trials: got 1e+18; expected a whole number (1 to 1,000,000)"),
        ("search.trials=" + "9" * 5_000, "is not a whole number of at most 64 bits"),
        ("name=" + "x" * 300_000, "is 300,000 characters long"),
        ("name=" + "[" * 100_000, "nested more than 50 deep"),
        (".".join(["a"] * 60_000) + "=1", "write key=value, for example search.trials=50"),
        ("x" * 201 + "=1", "write key=value, for example search.trials=50"),
        ("na\x1bme=1", "write key=value, for example search.trials=50"),
        ("name=\udcff", "unacceptable character"),
        ("name=\x1b[2J", "unacceptable character"),
        ("data.root=/" + "a" * 300, "is 301 bytes long; a path has at most 4,095"),
    ],
    ids=lambda value: value[:24].encode("ascii", "backslashreplace").decode(),
)
def test_overrides(override: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(GOOD)
    message = answer(file, [override])
    assert message is not None
    assert said in message
    assert len(message) < 1_000
    assert message.isprintable()


def test_too_many_overrides(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(GOOD)
    assert answer(file, ["search.trials=5"] * 500) is None
    assert answer(file, ["search.trials=5"] * 501) == "--set is given 501 times; the limit is 500"


def test_what_is_not_a_regular_file_is_not_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    sparse = tmp_path / "sparse.yaml"
    with sparse.open("wb") as file:
        file.truncate(2**40)
    for path, said in [
        (fifo, "is a device, pipe or socket; give a YAML file"),
        (Path("/dev/zero"), "is a device, pipe or socket; give a YAML file"),
        (tmp_path, "is a folder; name a study file in it"),
        (sparse, "has 1,099,511,627,776 bytes; a study file has at most"),
        (tmp_path / ("a" * 300), "cannot be read: File name too long"),
        (tmp_path / "a\0", "cannot be read: embedded null byte"),
    ]:
        with pytest.raises(InputError, match=said):
            load_study(path)


def test_nothing_that_a_study_uses_is_refused() -> None:
    StudyConfig.model_validate(
        {
            "name": "s",
            "data": {"dataset": "image_folder", "root": "/data", "image_size": 4_096, "split_seed": 4_294_967_295},
            "model": {"name": "fully_connected", "hidden": [32_768] * 200},
            "optimizer": {"name": "adamw", "learning_rate": 1e18, "weight_decay": 1e6},
            "training": {"max_epochs": 100_000, "batch_size": 131_072, "seed": 20_251_231},
            "search": {"trials": 1_000_000, "time_budget": "8760h", "total_epochs": 10**10},
            "resources": {"cpus_per_trial": 256, "gpus_per_trial": 0.01, "memory_per_trial": "12TiB"},
            "space": {"training.batch_size": {"choices": list(range(1, 10_001))}},
        }
    )

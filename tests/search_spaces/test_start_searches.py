"""The searches that ship: each parses, and its base and its extremes make trials."""

from pathlib import Path

import pytest

import search_spaces
from search_spaces.composition import active_values, compose
from search_spaces.loading import load_study
from search_spaces.schema import Parameter, StudyConfig, Value

FOLDER = Path(search_spaces.__file__).parent
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if "reference" not in path.parts)


def test_the_searches_are_there():
    names = {path.stem for path in FILES}
    assert names >= {"digits", "mnist", "cifar10", "cifar100", "inat", "inat_finetune", "photos_finetune"}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def study(request: pytest.FixtureRequest) -> StudyConfig:
    return load_study(request.param, environment={})


def _extreme(parameter: Parameter, position: int) -> Value:
    return parameter.choices[position] if parameter.choices else (parameter.low, parameter.high)[position]


@pytest.mark.parametrize("position", [0, -1])
def test_extremes_make_trials(study, position):
    values = active_values(study, {path: _extreme(parameter, position) for path, parameter in study.space.items()})
    trial = compose(study, values).model_dump(mode="json")
    for path, value in values.items():
        section, _, field = path.partition(".")
        assert trial[section][field] == value


def test_the_base_makes_a_trial(study):
    assert compose(study, {}).data == study.data


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_header_says_how_to_run_it(path):
    header = path.read_text().split("\nname:")[0]
    assert header.startswith("# ")
    assert f"tune-cli run search_spaces/{path.relative_to(FOLDER)}" in header
    assert all(len(line) <= 120 for line in path.read_text().splitlines())


def test_the_demo_searches_enough():
    study = load_study(FOLDER / "digits.yaml", environment={})
    assert study.search.trials >= 20
    assert len(study.space) >= 8


def test_roots_come_from_the_environment():
    mnist = load_study(FOLDER / "mnist.yaml", environment={"TUNE_DATA": "/d"})
    assert mnist.data.root == Path("/d")
    inat = load_study(FOLDER / "inat.yaml", environment={"INAT_ROOT": "/i"})
    assert inat.data.root == Path("/i")
    assert load_study(FOLDER / "photos_finetune.yaml", environment={}).data.root == Path("data/photos")

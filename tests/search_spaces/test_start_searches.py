"""The searches that ship: each parses, plans, and trains; its base and its extremes make trials."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.samplers import RandomSampler

import search_spaces
from search_spaces.composition import compose
from search_spaces.loading import load_study
from search_spaces.schema import Parameter, StudyConfig, Value
from tests.search_spaces.active import active_values
from trainables.config import DataConfig
from trainables.data.sources import image_format
from trainables.data.training_data import TrainingData, prepare_training_data
from trainables.errors import InfeasibleError
from trainables.training.loop import train
from tuning.planning.plan import make_plan
from tuning.search.feasibility import Feasibility
from tuning.search.space import Space
from tuning.search.stages import make_stage, stage_count

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


@pytest.fixture(scope="module")
def digits() -> Callable[[DataConfig], TrainingData]:
    """Handwritten digits in the shape that a study wants: eight to train on, four to validate."""

    def prepared(data: DataConfig) -> TrainingData:
        made = prepare_training_data(data)
        return replace(
            made,
            train_indices=made.train_indices[:8],
            validation_indices=made.validation_indices[:4],
            fingerprint="8+4",
        )

    return prepared


@pytest.mark.slow
def test_two_batches_of_base_and_of_a_drawn_configuration_train(study, digits, tmp_path):
    wanted = image_format(study.data)
    small = DataConfig(dataset="digits", image_size=min(wanted.size, 64), channels=wanted.channels)
    data = digits(small)
    feasible = Feasibility(data.image_shape, len(data.classes))
    for index in range(stage_count(study)):
        stage = make_stage(study, index).study
        space = Space(stage)
        drawn = (space.suggest(optuna.create_study(sampler=RandomSampler(seed=seed)).ask()) for seed in range(20))
        drawable = (config for values in drawn if (config := _composed(stage, values, small, feasible)) is not None)
        for config in (_composed(stage, {}, small, feasible), next(drawable)):
            folder = tmp_path / f"{index}-{config.canonical_hash('')[:8]}"
            (metrics,) = train(config, data, folder=folder)
            assert math.isfinite(metrics["train_loss"]), config
            assert 0.0 <= metrics["val_accuracy"] <= 1.0


def _composed(study, values, data, feasible):
    """A trial of two batches on small images, without downloaded weights; None where these are too small for it."""
    try:
        config = compose(study, values)
        model = config.model.model_copy(update={"weights": "none"}) if config.model.name == "backbone" else config.model
        training = config.training.model_copy(update={"max_epochs": 1, "batch_size": 4})
        config = config.model_copy(update={"data": data, "model": model, "training": training})
        feasible.check(config)
    except InfeasibleError:
        return None
    return config


@pytest.mark.slow
def test_the_searches_can_be_planned(study):
    wanted = image_format(study.data)
    for index in range(stage_count(study)):
        stage = make_stage(study, index).study
        made = make_plan(stage, (wanted.channels, wanted.size, wanted.size), 10, samples=5)
        assert made.infeasible_fraction < 1.0
        assert made.samples[0].infeasible is None  # the base

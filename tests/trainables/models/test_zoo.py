import time
from typing import get_args

import pytest
import torch

from trainables.config.models import BackboneConfig, CnnConfig, ModelConfig
from trainables.models.zoo import MODELS, build_model


def test_every_configuration_class_is_in_the_zoo_under_its_name():
    union = get_args(get_args(ModelConfig)[0])
    assert {entry.config for entry in MODELS.values()} == set(union)
    assert all(entry.config().name == name for name, entry in MODELS.items())
    assert all(entry.description for entry in MODELS.values())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_every_model_gives_logits(name, shape):
    model = build_model(MODELS[name].config(), shape, 7)
    assert model(torch.randn(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", MODELS)
def test_building_on_meta_draws_no_random_numbers(name):
    torch.manual_seed(0)
    with torch.device("meta"):
        model = build_model(MODELS[name].config(), (3, 32, 32), 7)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_builds_the_same_weights(name):
    def weights():
        torch.manual_seed(3)
        return list(build_model(MODELS[name].config(), (3, 32, 32), 7).parameters())

    assert all(torch.equal(a, b) for a, b in zip(weights(), weights(), strict=True))


@pytest.mark.parametrize(
    ("config", "milliseconds"), [(CnnConfig(blocks=5), 10), (BackboneConfig(architecture="resnet50"), 200)]
)
def test_building_on_meta_is_cheap(config, milliseconds):
    def build():
        began = time.perf_counter()
        with torch.device("meta"):
            build_model(config, (3, 224, 224), 10)
        return (time.perf_counter() - began) * 1000

    assert min(build() for _ in range(5)) < milliseconds  # the best of five: other work on the machine only adds

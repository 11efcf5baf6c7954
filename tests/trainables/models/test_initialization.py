import math

import pytest
import torch
from torch import nn

from trainables.config.models import BackboneConfig, CnnConfig
from trainables.models.initialization import initialize
from trainables.models.zoo import build_model


def _layer_after(scheme):
    torch.manual_seed(0)
    layer = nn.Linear(400, 600)
    initialize(nn.Sequential(layer), scheme)
    return layer


def test_he_has_the_variance_of_the_paper():
    assert _layer_after("he").weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)


def test_xavier_has_the_variance_of_the_paper():
    assert _layer_after("xavier").weight.std().item() == pytest.approx(math.sqrt(2 / 1000), rel=0.02)


def test_biases_become_zero():
    assert _layer_after("he").bias.count_nonzero() == 0


def test_default_changes_nothing():
    model = build_model(CnnConfig(filters=4), (1, 16, 16), 10)
    before = [parameter.clone() for parameter in model.parameters()]
    initialize(model, "default")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("pretrained", [False, True])
def test_pretrained_layers_are_left_alone(pretrained):
    model = build_model(BackboneConfig(architecture="squeezenet1_1"), (3, 32, 32), 10)
    model.pretrained = pretrained
    first = next(layer for layer in model.trunk.modules() if isinstance(layer, nn.Conv2d))
    trunk, head = first.weight.clone(), model.head[0].weight.clone()
    initialize(model, "he")
    assert torch.equal(trunk, first.weight) is pretrained
    assert not torch.equal(head, model.head[0].weight)

import pytest
import torch
from torch import nn

from trainables.config.models import BackboneConfig
from trainables.models.backbone_heads import build_convolutional_head, build_vector_head


def test_a_linear_head_is_one_layer():
    assert [tuple(p.shape) for p in build_vector_head(BackboneConfig(), 512, 10).parameters()] == [(10, 512), (10,)]


def test_an_mlp_head_has_activation_and_dropout():
    config = BackboneConfig(head="mlp", head_units=(100,), head_activation="gelu", head_dropout=0.3)
    head = build_vector_head(config, 512, 10)
    assert [type(layer).__name__ for layer in head] == ["Linear", "GELU", "Dropout", "Linear"]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("pool", [False, True])
def test_small_maps_are_padded_until_the_kernels_fit(size, kernel, pool):
    config = BackboneConfig(head="conv", head_units=(4, 4, 4), head_kernel_size=kernel, head_pool=pool)
    head = build_convolutional_head(config, (6, size, size), 10)
    assert head(torch.rand(2, 6, size, size)).shape == (2, 10)


def test_large_maps_are_not_padded():
    config = BackboneConfig(head="conv", head_units=(4,), head_kernel_size=3)
    head = build_convolutional_head(config, (6, 8, 8), 10)
    assert [layer.padding for layer in head if isinstance(layer, nn.Conv2d)] == [(0, 0)]
    assert head[-1].in_features == 4 * 6 * 6

import torch

from trainables.config.models import FullyConnectedConfig, SoftmaxRegressionConfig
from trainables.models.fully_connected import build_fully_connected, build_softmax_regression


def test_softmax_regression_is_one_linear_layer():
    model = build_softmax_regression(SoftmaxRegressionConfig(), (3, 32, 32), 10)
    assert sum(p.numel() for p in model.parameters()) == 3 * 32 * 32 * 10 + 10
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_hidden_layers_have_the_sizes_given():
    model = build_fully_connected(FullyConnectedConfig(hidden=(20, 5)), (1, 8, 8), 3)
    weights = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert weights == [(20, 64), (5, 20), (3, 5)]

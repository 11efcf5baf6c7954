"""Networks without convolutions."""

import math

from torch import nn

from trainables.config.models import FullyConnectedConfig, SoftmaxRegressionConfig
from trainables.models.layers import MapShape, dense_layers, linear


def build_softmax_regression(config: SoftmaxRegressionConfig, image_shape: MapShape, classes: int) -> nn.Module:
    """One linear layer on the pixels."""
    return nn.Sequential(nn.Flatten(), linear(math.prod(image_shape), classes))


def build_fully_connected(config: FullyConnectedConfig, image_shape: MapShape, classes: int) -> nn.Module:
    """Linear layers with activation."""
    layers = dense_layers(
        math.prod(image_shape),
        config.hidden,
        classes,
        activation_name=config.activation,
        batch_norm=config.batch_norm,
        hidden_dropout=config.dropout,
    )
    return nn.Sequential(nn.Flatten(), *layers)

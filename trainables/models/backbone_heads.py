"""Heads, which map a backbone's output to logits."""

import math

from torch import nn

from trainables.config.models import BackboneConfig
from trainables.models.layers import MapShape, activation, conv2d, convolved_shape, dense_layers, pooled_shape


def build_vector_head(config: BackboneConfig, features: int, classes: int) -> nn.Module:
    """`linear` and `mlp`: N x features to N x classes."""
    layers = dense_layers(
        features,
        config.head_units,
        classes,
        activation_name=config.head_activation,
        hidden_dropout=config.head_dropout,
        output_dropout=0.0 if config.head_units else config.head_dropout,
    )
    return nn.Sequential(*layers)


def build_convolutional_head(config: BackboneConfig, shape: MapShape, classes: int) -> nn.Module:
    """`conv`: feature maps, N x C x H x W, to N x classes.

    Each convolution is unpadded unless the map is too small for its kernel (and pool): then the map is padded with
    zeros, equally on both sides, until it fits.
    """
    smallest = config.head_kernel_size + (1 if config.head_pool else 0)
    layers: list[nn.Module] = []
    for number, filters in enumerate(config.head_units, start=1):
        where = f"convolution {number} of the head"
        padding = max(math.ceil((smallest - min(shape[1:])) / 2), 0)
        layers.append(conv2d(shape[0], filters, config.head_kernel_size, padding))
        layers.append(activation(config.head_activation))
        shape = convolved_shape(shape, filters, config.head_kernel_size, padding, where)
        if config.head_pool:
            layers.append(nn.MaxPool2d(2))
            shape = pooled_shape(shape, where)
    dense = dense_layers(
        math.prod(shape),
        config.head_units[-1:] if config.head_pool else (),
        classes,
        activation_name=config.head_activation,
        output_dropout=config.head_dropout,
    )
    return nn.Sequential(*layers, nn.Flatten(), *dense)

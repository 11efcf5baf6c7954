"""Convolutional networks: `cnn` from a few numbers, `conv_net` from lists."""

import math

from torch import nn

from trainables.config.models import CnnConfig, ConvNetConfig, FilterOrganisation
from trainables.models.layers import (
    MapShape,
    activation,
    convolution,
    convolved_shape,
    dense_layers,
    pooled_shape,
)


def filter_counts(first: int, blocks: int, organisation: FilterOrganisation) -> list[int]:
    """Filters of each block."""
    if organisation == "double":
        return [first * 2**block for block in range(blocks)]
    if organisation == "halve":
        return [max(first // 2**block, 1) for block in range(blocks)]
    return [first] * blocks


def build_cnn(config: CnnConfig, image_shape: MapShape, classes: int) -> nn.Module:
    """Blocks of convolution, [batch norm], activation, max-pool 2; one dense layer; the output layer.

    Raises:
        InfeasibleError: a map shrinks below one pixel.
    """
    counts = filter_counts(config.filters, config.blocks, config.filter_organisation)
    shape = _cnn_map(config, image_shape, counts)
    layers: list[nn.Module] = []
    channels = image_shape[0]
    for filters in counts:
        layers += convolution(channels, filters, config.kernel_size, config.padding)
        if config.batch_norm:
            layers.append(nn.BatchNorm2d(filters))
        layers += [activation(config.activation), nn.MaxPool2d(2)]
        if config.dropout and config.dropout_in_blocks:
            layers.append(nn.Dropout2d(config.dropout))
        channels = filters
    head = dense_layers(
        math.prod(shape),
        (config.dense_units,),
        classes,
        activation_name=config.activation,
        output_dropout=config.dropout,
    )
    return nn.Sequential(*layers, nn.Flatten(), *head)


def _cnn_map(config: CnnConfig, image_shape: MapShape, counts: list[int]) -> MapShape:
    """Shape of the map after the last block, before anything is built."""
    shape = image_shape
    for block, filters in enumerate(counts, start=1):
        where = f"block {block} of {config.blocks} on images of {image_shape[1]}x{image_shape[2]}"
        shape = convolved_shape(shape, filters, config.kernel_size, config.padding, where)
        shape = pooled_shape(shape, where)
    return shape


def build_conv_net(config: ConvNetConfig, image_shape: MapShape, classes: int) -> nn.Module:
    """Convolutions with pools as configured, dense layers, the output layer.

    Raises:
        InfeasibleError: a map shrinks below one pixel.
    """
    layers: list[nn.Module] = []
    shape = image_shape
    for index, filters in enumerate(config.convolutions, start=1):
        where = f"convolution {index} of {len(config.convolutions)} on images of {image_shape[1]}x{image_shape[2]}"
        layers += convolution(shape[0], filters, config.kernel_size, config.padding)
        shape = convolved_shape(shape, filters, config.kernel_size, config.padding, where)
        if config.batch_norm:
            layers.append(nn.BatchNorm2d(filters))
        layers.append(activation(config.activation))
        if index in config.pool_after:
            layers.append(nn.MaxPool2d(2))
            shape = pooled_shape(shape, where)
    if config.conv_dropout:
        layers.append(nn.Dropout(config.conv_dropout))
    head = dense_layers(
        math.prod(shape),
        config.dense,
        classes,
        activation_name=config.activation,
        output_dropout=config.dense_dropout,
    )
    return nn.Sequential(*layers, nn.Flatten(), *head)

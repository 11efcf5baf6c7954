"""The model zoo: every network by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from trainables.config.base import Config
from trainables.config.models import (
    AttentionCnnConfig,
    BackboneConfig,
    CnnConfig,
    ConvNetConfig,
    FullyConnectedConfig,
    ModelConfig,
    SoftmaxRegressionConfig,
)
from trainables.models.attention import build_attention_cnn
from trainables.models.backbone import build_backbone
from trainables.models.convolutional import build_cnn, build_conv_net
from trainables.models.fully_connected import build_fully_connected, build_softmax_regression
from trainables.models.layers import MapShape


@dataclass(frozen=True)
class ModelEntry:
    """One row of the registry."""

    config: type[Config]
    build: Callable[[Any, MapShape, int], nn.Module]
    """Builds a network from configuration, image shape (C, H, W) and number of classes."""
    description: str


MODELS: dict[str, ModelEntry] = {
    "softmax_regression": ModelEntry(
        SoftmaxRegressionConfig, build_softmax_regression, "one linear layer on the pixels"
    ),
    "fully_connected": ModelEntry(
        FullyConnectedConfig, build_fully_connected, "hidden layers of any sizes, no convolution"
    ),
    "cnn": ModelEntry(CnnConfig, build_cnn, "blocks of convolution, activation, pool; one dense layer"),
    "conv_net": ModelEntry(ConvNetConfig, build_conv_net, "convolutions, pools and dense layers given as lists"),
    "attention_cnn": ModelEntry(
        AttentionCnnConfig, build_attention_cnn, "attention over parallel convolutions in each block"
    ),
    "backbone": ModelEntry(
        BackboneConfig,
        build_backbone,
        "a torchvision network, pre-trained or not, cut and frozen as configured, with a new head",
    ),
}


def build_model(config: ModelConfig, image_shape: MapShape, classes: int) -> nn.Module:
    """Build the network: normalized float images, N x C x H x W, to logits, N x classes.

    Under `torch.device("meta")` this is almost free and still detects every impossible configuration.

    Args:
        config: a model of the zoo.
        image_shape: channels, height, width.
        classes: number of logits.

    Raises:
        InfeasibleError: the configuration cannot exist on these images.
        InputError: an unknown architecture, stage or weights name, or weights that do not fit.
    """
    return MODELS[config.name].build(config, image_shape, classes)

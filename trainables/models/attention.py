"""Attention over parallel convolutions."""

import torch
from torch import nn

from trainables.config.models import ActivationName, AttentionCnnConfig
from trainables.errors import InfeasibleError
from trainables.models.layers import MapShape, activation, conv2d, convolved_shape, dense_layers, linear

_MAX_CONVOLUTIONS = 128


class AttentionBlock(nn.Module):
    """`branches` parallel 3x3 convolutions of the input, summed with weights computed from the pooled input.

    `output = activation(sum_i a_i * conv_i(x))` with `a = softmax(W * spatial_average(x))`;
    N x channels x H x W to N x filters x H x W.
    """

    def __init__(self, channels: int, filters: int, branches: int, activation_name: ActivationName) -> None:
        super().__init__()
        self.attention = linear(channels, branches)
        self.convolutions = nn.ModuleList(conv2d(channels, filters, 3, padding=1) for _ in range(branches))
        self.activation = activation(activation_name)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Weight and sum the branches."""
        weights = torch.softmax(self.attention(maps.mean(dim=(2, 3))), dim=1)
        branches = [convolution(maps) for convolution in self.convolutions]
        # Under bf16 autocast softmax gives fp32, which would double the memory of every product.
        shares = weights.to(branches[0].dtype)[:, :, None, None, None].unbind(dim=1)
        total = shares[0] * branches[0]
        for share, branch in zip(shares[1:], branches[1:], strict=True):
            total = torch.addcmul(total, share, branch)
        return self.activation(total)


def build_attention_cnn(config: AttentionCnnConfig, image_shape: MapShape, classes: int) -> nn.Module:
    """One attention block per width, an adaptive pool, dense layers, the output layer.

    Raises:
        InfeasibleError: more convolutions or larger maps than any machine can train.
    """
    if len(config.widths) * config.branches > _MAX_CONVOLUTIONS:
        raise InfeasibleError(
            f"{len(config.widths)} blocks of {config.branches} branches are {len(config.widths) * config.branches:,} "
            f"convolutions; use at most {_MAX_CONVOLUTIONS}"
        )
    for block, width in enumerate(config.widths, start=1):
        convolved_shape(image_shape, width, 3, "same", f"block {block} of {len(config.widths)}")
    inputs = (image_shape[0], *config.widths[:-1])
    blocks = [
        AttentionBlock(channels, filters, config.branches, config.block_activation)
        for channels, filters in zip(inputs, config.widths, strict=True)
    ]
    pool = nn.AdaptiveMaxPool2d if config.pool == "max" else nn.AdaptiveAvgPool2d
    head = dense_layers(
        config.widths[-1] * config.pool_size**2,
        config.dense,
        classes,
        activation_name="relu",
        hidden_dropout=config.dropout,
    )
    return nn.Sequential(*blocks, pool(config.pool_size), nn.Flatten(), *head)

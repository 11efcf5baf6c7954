import pytest
import torch
from torch import nn

from trainables.config.models import CnnConfig, ConvNetConfig
from trainables.errors import InfeasibleError
from trainables.models.convolutional import build_cnn, build_conv_net, filter_counts


def _kinds(model):
    return [type(layer).__name__ for layer in model]


def _filters(model):
    return [layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    ("organisation", "expected"), [("same", [12, 12, 12, 12, 12]), ("double", [12, 24, 48, 96, 192])]
)
def test_organisations_of_filters(organisation, expected):
    assert filter_counts(12, 5, organisation) == expected


def test_halving_stops_at_one_filter():
    assert filter_counts(8, 6, "halve") == [8, 4, 2, 1, 1, 1]


def test_a_cnn_is_blocks_one_dense_layer_and_the_output():
    config = CnnConfig(blocks=2, filters=4, dropout=0.1, dropout_in_blocks=True, activation="gelu")
    block = ["Conv2d", "BatchNorm2d", "GELU", "MaxPool2d", "Dropout2d"]
    model = build_cnn(config, (1, 8, 8), 10)
    assert _kinds(model) == [*block, *block, "Flatten", "Linear", "GELU", "Dropout", "Linear"]
    assert model(torch.rand(3, 1, 8, 8)).shape == (3, 10)


@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
@pytest.mark.parametrize("padding", [0, 1, 2, "same"])
def test_a_cnn_builds_exactly_where_it_runs(kernel, padding):
    config = CnnConfig(blocks=3, filters=2, kernel_size=kernel, padding=padding)
    try:
        model = build_cnn(config, (1, 16, 20), 4)
    except InfeasibleError:
        return
    assert model(torch.rand(2, 1, 16, 20)).shape == (2, 4)


def test_a_cnn_that_shrinks_below_one_pixel_names_the_block():
    with pytest.raises(InfeasibleError, match="block 4 of 5 on images of 8x8"):
        build_cnn(CnnConfig(blocks=5), (1, 8, 8), 10)


def test_too_many_blocks_are_refused_before_memory_is_asked_for():
    with pytest.raises(InfeasibleError):
        build_cnn(CnnConfig(blocks=60, filters=64), (3, 32, 32), 10)


def test_a_conv_net_pools_where_told():
    config = ConvNetConfig(
        convolutions=(4, 6, 8), pool_after=(1, 3), conv_dropout=0.25, dense=(7, 5), dense_dropout=0.5, batch_norm=True
    )
    model = build_conv_net(config, (3, 8, 8), 10)
    convolution = ["Conv2d", "BatchNorm2d", "ReLU"]
    assert _kinds(model) == [
        *convolution, "MaxPool2d", *convolution, *convolution, "MaxPool2d", "Dropout", "Flatten",
        "Linear", "ReLU", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    assert _filters(model) == [4, 6, 8]
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 10)


def test_a_conv_net_that_does_not_fit_names_the_convolution():
    with pytest.raises(InfeasibleError, match="convolution 2 of 2 on images of 6x6: kernel 5"):
        build_conv_net(ConvNetConfig(kernel_size=5, padding=0, pool_after=(1,)), (1, 6, 6), 10)

import pytest
import torch
from torch import nn

from trainables.errors import InfeasibleError
from trainables.models.layers import (
    ACTIVATIONS,
    activation,
    conv2d,
    convolution,
    convolved_shape,
    dense_layers,
    linear,
    pooled_shape,
)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_keeps_the_shape(name):
    assert activation(name)(torch.randn(2, 3)).shape == (2, 3)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("padding", [0, 1, 2, "same"])
def test_the_arithmetic_of_map_sizes_is_torchs(kernel, padding):
    maps = nn.Sequential(*convolution(3, 4, kernel, padding))(torch.randn(1, 3, 9, 7))
    assert tuple(maps.shape[1:]) == convolved_shape((3, 9, 7), 4, kernel, padding, "here")
    assert tuple(nn.MaxPool2d(2)(maps).shape[1:]) == pooled_shape(tuple(maps.shape[1:]), "here")


def test_same_with_an_even_kernel_is_torchs_same():
    ours = nn.Sequential(*convolution(1, 1, 4, "same"))
    images = torch.randn(1, 1, 6, 6)
    padded = nn.functional.pad(images, (1, 2, 1, 2))
    expected = nn.functional.conv2d(padded, ours[1].weight, ours[1].bias)
    torch.testing.assert_close(ours(images), expected)


def test_a_kernel_that_does_not_fit_says_what_was_received():
    with pytest.raises(InfeasibleError, match=r"block 3: kernel 5 with padding 0 does not fit a map of 3x4"):
        convolved_shape((1, 3, 4), 8, 5, 0, "block 3")


def test_a_pool_of_one_pixel_is_refused():
    with pytest.raises(InfeasibleError, match="less than one pixel of a map of 1x5"):
        pooled_shape((1, 1, 5), "here")


def test_dense_layers_put_each_piece_where_it_belongs():
    layers = dense_layers(8, (4, 3), 2, activation_name="relu", batch_norm=True, hidden_dropout=0.1, output_dropout=0.2)
    hidden = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert [type(layer).__name__ for layer in layers] == [*hidden, *hidden, "Dropout", "Linear"]
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.1, 0.1, 0.2]


def test_layers_and_maps_that_fit_no_machine_are_infeasible_and_never_allocated():
    with pytest.raises(InfeasibleError, match="from 200,000 to 100,000 has 20,000,000,000 weights"):
        linear(200_000, 100_000)
    with pytest.raises(InfeasibleError, match="1024x1024 convolution from 3 to 65,536 channels"):
        conv2d(3, 65_536, 1_024)
    with pytest.raises(InfeasibleError, match="here: no machine trains with a map of 65,536x8,192x8,192"):
        convolved_shape((3, 8_192, 8_192), 65_536, 3, "same", "here")

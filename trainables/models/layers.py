"""Building blocks of the networks: activations, convolutions and map size arithmetic."""

from collections.abc import Callable, Sequence

from torch import nn

from trainables.config.models import ActivationName, Padding
from trainables.errors import InfeasibleError

MapShape = tuple[int, int, int]
"""Channels, height and width of one image or feature map."""

_MAX_WEIGHTS = 2**34
"""Maximum weights of one layer: 64 GiB in 32-bit floats, a quarter of the memory needed to train it."""
_MAX_MAP = 2**34
"""Maximum numbers in one image's feature map."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "none": nn.Identity,
}


def activation(name: ActivationName) -> nn.Module:
    """Build the activation of this name."""
    return ACTIVATIONS[name]()


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Build a linear layer.

    Raises:
        InfeasibleError: its weights fit no machine; torch would try, or overflow when counting their bytes.
    """
    _check_weights(inputs * outputs, f"a linear layer from {inputs:,} to {outputs:,}")
    return nn.Linear(inputs, outputs)


def conv2d(channels: int, filters: int, kernel_size: int, padding: int = 0) -> nn.Conv2d:
    """Build a convolution of stride 1.

    Raises:
        InfeasibleError: its weights fit no machine.
    """
    what = f"a {kernel_size}x{kernel_size} convolution from {channels:,} to {filters:,} channels"
    _check_weights(channels * filters * kernel_size**2, what)
    return nn.Conv2d(channels, filters, kernel_size, padding=padding)


def _check_weights(weights: int, what: str) -> None:
    if weights > _MAX_WEIGHTS:
        raise InfeasibleError(
            f"{what} has {weights:,} weights; no machine trains a layer of more than {_MAX_WEIGHTS:,}: use fewer units "
            "or filters, more pools before it, or smaller images"
        )


def convolution(channels: int, filters: int, kernel_size: int, padding: Padding) -> list[nn.Module]:
    """Return the layers of one convolution of stride 1.

    `same` with an even kernel needs one more pixel at the right and bottom than at the left and top; torch's own
    `padding="same"` does that too, but warns that it copies.
    """
    if padding != "same":
        return [conv2d(channels, filters, kernel_size, padding)]
    if kernel_size % 2:
        return [conv2d(channels, filters, kernel_size, kernel_size // 2)]
    before, after = (kernel_size - 1) // 2, kernel_size // 2
    return [nn.ZeroPad2d((before, after, before, after)), conv2d(channels, filters, kernel_size)]


def convolved_shape(shape: MapShape, filters: int, kernel_size: int, padding: Padding, where: str) -> MapShape:
    """Shape after a convolution of stride 1; `where` names it in the error.

    Raises:
        InfeasibleError: the kernel does not fit, or the map fits no machine.
    """
    _, height, width = shape
    change = 0 if padding == "same" else 2 * padding - kernel_size + 1
    if min(height, width) + change < 1:
        raise InfeasibleError(
            f"{where}: kernel {kernel_size} with padding {padding} does not fit a map of {height}x{width}; "
            "use a smaller kernel, more padding, fewer layers before it or larger images"
        )
    if filters * (height + change) * (width + change) > _MAX_MAP:
        raise InfeasibleError(
            f"{where}: no machine trains with a map of {filters:,}x{height + change:,}x{width + change:,}, more than "
            f"{_MAX_MAP:,} numbers; use fewer filters, less padding or smaller images"
        )
    return filters, height + change, width + change


def pooled_shape(shape: MapShape, where: str) -> MapShape:
    """Shape after a max-pool of 2; `where` names it in the error.

    Raises:
        InfeasibleError: less than one pixel would be left.
    """
    channels, height, width = shape
    if min(height, width) < 2:
        raise InfeasibleError(
            f"{where}: a pool of 2 leaves less than one pixel of a map of {height}x{width}; "
            "use fewer pools, more padding or larger images"
        )
    return channels, height // 2, width // 2


def dense_layers(
    inputs: int,
    units: Sequence[int],
    outputs: int,
    *,
    activation_name: ActivationName,
    batch_norm: bool = False,
    hidden_dropout: float = 0.0,
    output_dropout: float = 0.0,
) -> list[nn.Module]:
    """Linear layers with activation, then the output layer.

    Args:
        inputs: number of input features; the layers take N x inputs.
        units: of each hidden layer; may be empty.
        outputs: number of logits.
        activation_name: after each hidden layer.
        batch_norm: between each hidden layer and its activation.
        hidden_dropout: after each hidden layer.
        output_dropout: once, before the output layer.
    """
    layers: list[nn.Module] = []
    for count in units:
        layers.append(linear(inputs, count))
        if batch_norm:
            layers.append(nn.BatchNorm1d(count))
        layers.append(activation(activation_name))
        if hidden_dropout:
            layers.append(nn.Dropout(hidden_dropout))
        inputs = count
    if output_dropout:
        layers.append(nn.Dropout(output_dropout))
    layers.append(linear(inputs, outputs))
    return layers

"""Parameters of the model zoo, one class per model; `name` selects the class."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainables.config.base import MAX_LAYERS, Border, Config, Depth, Fraction, KernelSize, Name, Width, Widths

ActivationName = Literal["relu", "leaky_relu", "gelu", "silu", "mish", "elu", "tanh", "none"]
FilterOrganisation = Literal["same", "double", "halve"]
Padding = Border | Literal["same"]


class SoftmaxRegressionConfig(Config):
    """One linear layer on the pixels."""

    name: Literal["softmax_regression"] = "softmax_regression"


class FullyConnectedConfig(Config):
    """Linear layers with activations, no convolution."""

    name: Literal["fully_connected"] = "fully_connected"
    hidden: Widths = Field(default=(256,), min_length=1)
    """Units of each hidden layer."""
    activation: ActivationName = "relu"
    batch_norm: bool = False
    dropout: Fraction = 0.0
    """After each hidden layer."""


class CnnConfig(Config):
    """Blocks of convolution, activation, max-pool 2; then one dense layer and the output layer."""

    name: Literal["cnn"] = "cnn"
    blocks: Depth = 3
    filters: Width = 32
    """Filters of the first block."""
    filter_organisation: FilterOrganisation = "double"
    """How the number of filters changes from block to block (`halve` stops at 1)."""
    kernel_size: KernelSize = 3
    padding: Padding = "same"
    """Pixels around the map before each convolution; `same` keeps its size."""
    activation: ActivationName = "relu"
    batch_norm: bool = True
    dropout: Fraction = 0.0
    """Before the output layer, and per channel after each pool if `dropout_in_blocks`."""
    dropout_in_blocks: bool = False
    dense_units: Width = 128


class ConvNetConfig(Config):
    """Convolutions, pools and dense layers given as lists, for example networks with two convolutions."""

    name: Literal["conv_net"] = "conv_net"
    convolutions: Widths = Field(default=(32, 32), min_length=1)
    """Filters of each convolution."""
    kernel_size: KernelSize = 3
    padding: Padding = "same"
    pool_after: Annotated[tuple[Depth, ...], Field(max_length=MAX_LAYERS)] = (2,)
    """Max-pool 2 after these convolutions, counted from 1."""
    activation: ActivationName = "relu"
    batch_norm: bool = False
    """After each convolution."""
    conv_dropout: Fraction = 0.0
    """After the last convolution or pool."""
    dense: Widths = (128,)
    """Units of each dense layer before the output layer; empty for none."""
    dense_dropout: Fraction = 0.0
    """Before the output layer."""

    @model_validator(mode="after")
    def _pools_follow_convolutions(self) -> Self:
        beyond = [index for index in self.pool_after if index > len(self.convolutions)]
        if beyond:
            raise ValueError(f"pool_after names convolution {beyond[0]}, but there are {len(self.convolutions)}")
        return self


class AttentionCnnConfig(Config):
    """Blocks of parallel 3x3 convolutions weighted by attention over the pooled input; adaptive pool; dense head."""

    name: Literal["attention_cnn"] = "attention_cnn"
    widths: Widths = Field(default=(64, 128, 256), min_length=1)
    """Filters of each block."""
    branches: Depth = 3
    """Parallel convolutions in a block."""
    block_activation: ActivationName = "relu"
    pool: Literal["max", "average"] = "max"
    """Kind of the final adaptive pool."""
    pool_size: KernelSize = 8
    dense: Widths = ()
    """Units of each dense layer before the output layer; empty for one linear layer."""
    dropout: Fraction = 0.0
    """After each dense layer."""


class BackboneConfig(Config):
    """Any torchvision classification model, pre-trained or not, with a new head."""

    name: Literal["backbone"] = "backbone"
    architecture: Name = "resnet18"
    """torchvision's name; `tune-cli zoo models` lists them."""
    weights: Annotated[str, Field(max_length=4_095)] = "none"
    """`none`, a torchvision weights name (`IMAGENET1K_V2`, `DEFAULT`), a state-dict file, or `models:/NAME@champion`.
    Images should be normalized as in the training of the weights: `data.normalization: imagenet` for torchvision's."""
    freeze_depth: Annotated[int, Field(ge=0, le=MAX_LAYERS)] | Literal["all"] = 0
    """0 trains everything, k freezes the first k stages from the input, `all` freezes everything but the head."""
    cut_at: Name | None = None
    """Name of the last stage kept (`tune-cli zoo models ARCHITECTURE`). Default: all stages."""
    head: Literal["linear", "mlp", "conv"] = "linear"
    head_units: Widths = ()
    """`mlp`: units of each hidden layer. `conv`: filters of each convolution."""
    head_kernel_size: KernelSize = 3
    """`conv`: kernel of each convolution; maps that are too small are padded."""
    head_pool: bool = False
    """`conv`: max-pool 2 after each convolution, and a dense layer as wide as the last one before the output."""
    head_activation: ActivationName = "relu"
    head_dropout: Fraction = 0.0
    """`mlp`: after each hidden layer. `linear`, `conv`: before the output layer. The network's own dropout is kept."""

    @model_validator(mode="after")
    def _hidden_heads_have_units(self) -> Self:
        if self.head != "linear" and not self.head_units:
            raise ValueError(f"head {self.head} needs head_units, for example [128]")
        if self.head == "linear" and self.head_units:
            raise ValueError("head_units is for the heads mlp and conv; head is linear")
        return self


ModelConfig = Annotated[
    SoftmaxRegressionConfig | FullyConnectedConfig | CnnConfig | ConvNetConfig | AttentionCnnConfig | BackboneConfig,
    Field(discriminator="name"),
]
"""A model by `name` with its own parameters."""

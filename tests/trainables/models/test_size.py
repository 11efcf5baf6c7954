import gc

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from trainables.config.models import (
    AttentionCnnConfig,
    BackboneConfig,
    CnnConfig,
    ConvNetConfig,
    FullyConnectedConfig,
    SoftmaxRegressionConfig,
)
from trainables.errors import InfeasibleError, InputError
from trainables.models.size import measure_size
from trainables.models.zoo import build_model


def closed_formulas(m, k, n, *, side, channels, classes):
    """Parameters and multiply-accumulates of five blocks of m filters of k x k and n dense neurons.

    Every convolution keeps the map's size and the pool after it halves both sides, so block b = 0..4 sees
    side / 2^b pixels a side and the dense layer sees m * (side / 32)^2 values.
    """
    flat = m * (side // 32) ** 2
    parameters = (channels * k * k + 1) * m + 4 * (m * k * k + 1) * m + (flat + 1) * n + (n + 1) * classes
    first = side**2 * channels * k * k * m
    later = sum((side // 2**block) ** 2 * m * k * k * m for block in range(1, 5))
    return parameters, first + later + flat * n + n * classes


@pytest.mark.parametrize("m", [8, 32])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("n", [64, 256])
@pytest.mark.parametrize(("side", "channels"), [(224, 3), (32, 1)])
def test_the_five_block_network_has_the_size_of_the_closed_formulas(m, k, n, side, channels):
    config = CnnConfig(blocks=5, filters=m, filter_organisation="same", kernel_size=k, dense_units=n, batch_norm=False)
    size = measure_size(config, (channels, side, side), 10)
    assert (size.parameters, size.macs) == closed_formulas(m, k, n, side=side, channels=channels, classes=10)


CONFIGS = [
    SoftmaxRegressionConfig(),
    FullyConnectedConfig(hidden=(32, 16), batch_norm=True),
    CnnConfig(kernel_size=4, dropout=0.1),
    ConvNetConfig(),
    AttentionCnnConfig(widths=(4, 8)),
    BackboneConfig(architecture="resnet18"),
    BackboneConfig(architecture="mobilenet_v3_small", freeze_depth="all"),
    BackboneConfig(architecture="vit_b_32"),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: getattr(config, "architecture", config.name))
def test_sizes_agree_with_torch_on_the_real_network(config):
    model = build_model(config, (3, 32, 32), 10).train()
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(2, 3, 32, 32))
    size = measure_size(config, (3, 32, 32), 10)
    assert size.macs == counter.get_total_flops() // 4  # two operations a multiply-accumulate, two images
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert size.trainable_parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_resnet50_has_its_known_size():
    size = measure_size(BackboneConfig(architecture="resnet50"), (3, 224, 224), 1000)
    assert size.parameters == 25_557_032  # torchvision's documentation
    assert size.macs / 1e9 == pytest.approx(4.09, abs=0.01)


def test_activation_memory_is_what_backward_needs():
    """One linear layer keeps its input; a second with ReLU between keeps the ReLU's output, once."""
    assert measure_size(SoftmaxRegressionConfig(), (1, 8, 8), 10).activation_bytes == 64 * 4
    assert measure_size(FullyConnectedConfig(hidden=(32,)), (1, 8, 8), 10).activation_bytes == (64 + 32) * 4


def test_activation_memory_of_one_block():
    """The convolution keeps the image; ReLU its output, which the pool shares, and 8-byte indices of its choice; the
    dense layer keeps the pooled map, its ReLU's output serves the last layer too."""
    config = CnnConfig(blocks=1, filters=5, batch_norm=False, dense_units=7)
    image, maps, pooled = 8 * 8, 5 * 8 * 8, 5 * 4 * 4
    expected = (image + maps + pooled + 7) * 4 + pooled * 8
    assert measure_size(config, (1, 8, 8), 10).activation_bytes == expected


def test_frozen_layers_keep_nothing():
    free, frozen = (
        measure_size(BackboneConfig(freeze_depth=depth), (3, 32, 32), 10).activation_bytes for depth in (0, "all")
    )
    assert frozen == 512 * 4 < free


def test_a_measured_network_is_freed():
    def alive():
        gc.collect()
        return sum(type(one) is torch.nn.Parameter for one in gc.get_objects())

    before = alive()
    for filters in range(3, 8):
        measure_size(CnnConfig(filters=filters), (1, 16, 16), 10)
    assert alive() == before


def test_weights_change_no_size_and_must_fit(tmp_path):
    plain = BackboneConfig(architecture="squeezenet1_1")
    path = tmp_path / "weights.pth"
    torch.save(models.squeezenet1_1(num_classes=3).state_dict(), path)
    fitting = plain.model_copy(update={"weights": str(path)})
    assert measure_size(fitting, (3, 32, 32), 10) == measure_size(plain, (3, 32, 32), 10)
    with pytest.raises(InputError, match="does not fit"):
        measure_size(fitting.model_copy(update={"architecture": "resnet18"}), (3, 32, 32), 10)


def test_impossible_configurations_have_no_size():
    with pytest.raises(InfeasibleError):
        measure_size(CnnConfig(blocks=9), (1, 8, 8), 10)

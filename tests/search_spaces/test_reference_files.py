"""The 48 published systems: each file parses, says where it comes from, and makes the network of its row."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import search_spaces
from search_spaces.loading import load_study
from trainables.config.models import BackboneConfig
from trainables.models.attention import AttentionBlock
from trainables.models.backbone import Backbone
from trainables.models.initialization import initialize
from trainables.models.size import measure_size
from trainables.models.zoo import build_model

FOLDER = Path(search_spaces.__file__).parent / "reference"
FILES = {path.name.partition("_")[0]: path for path in sorted(FOLDER.glob("*.yaml"))}
SYSTEMS = [
    f"{family}{number}"
    for family, count in {"A": 14, "B": 13, "C": 3, "D": 12, "E": 6}.items()
    for number in range(1, count + 1)
]
IMAGES = {"mnist": (1, 28, 10), "cifar10": (3, 32, 10), "cifar100": (3, 32, 100), "image_folder": (3, None, 10)}
"""Channels, size in pixels (None: the file says) and classes."""


@cache
def _study(system):
    return load_study(FILES[system], environment={})


def _images(system):
    """Shape of an image and number of classes."""
    data = _study(system).data
    channels, size, classes = IMAGES[data.dataset]
    side = data.image_size or size
    return (channels, side, side), classes


@cache
def _network(system):
    """The network on `meta`, without its pre-trained weights."""
    shape, classes = _images(system)
    config = _study(system).model
    if isinstance(config, BackboneConfig):
        config = config.model_copy(update={"weights": "none"})
    with torch.device("meta"):
        return build_model(config, shape, classes)


def _convolutions(system):
    """Input and output channels and kernel of each convolution outside the backbone."""
    network = _network(system)
    part = network.head if isinstance(network, Backbone) else network
    layers = [layer for layer in part.modules() if isinstance(layer, nn.Conv2d)]
    return [(layer.in_channels, layer.out_channels, layer.kernel_size[0]) for layer in layers]


def _dense(system):
    """Inputs and outputs of each linear layer outside the backbone, attention left out."""
    network = _network(system)
    part = network.head if isinstance(network, Backbone) else network
    return [(layer.in_features, layer.out_features) for layer in part if isinstance(layer, nn.Linear)]


def test_there_is_one_file_for_each_of_the_48_systems():
    assert len(list(FOLDER.iterdir())) == len(FILES) == len(SYSTEMS) == 48
    assert set(FILES) == set(SYSTEMS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_file_is_one_fixed_configuration(system):
    study = _study(system)
    assert study.name.startswith(f"{system}-")
    assert study.search.trials == 1
    assert (study.search.searcher.name, study.search.scheduler.name) == ("random", "none")
    assert {path: parameter.choices for path, parameter in study.space.items()} == {"training.seed": [0]}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_header_says_source_accuracy_and_command(system):
    path = FILES[system]
    header = path.read_text().split("\nname:")[0]
    text = " ".join(header.replace("\n# ", " ").split())
    report = {"A": "000", "B": "001", "C": "002", "D": "003", "E": "004"}[system[0]]
    assert header.startswith(f"# yaml-language-server: $schema=../study.schema.json\n# {system}. ")
    assert f"Source: report {report}:" in text
    assert re.search(r"Published: (about )?\d+(\.\d+)? % (test|validation) accuracy", text)
    assert f"\n#   tune-cli run search_spaces/reference/{path.name}\n" in header
    assert "Not stated in the report and chosen here: " in text
    assert all(len(line) <= 120 for line in path.read_text().splitlines())


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_network_exists_on_its_images(system):
    shape, classes = _images(system)
    assert measure_size(_study(system).model, shape, classes).parameters > 0
    logits = _network(system).train()(torch.empty(2, *shape, device="meta"))
    assert logits.shape == (2, classes)


TWO_CONVOLUTIONS = {
    "A1": ([(1, 32, 3), (32, 32, 3)], [(6272, 128), (128, 10)]),
    "A4": ([(1, 16, 3), (16, 16, 3)], [(3136, 128), (128, 10)]),
    "A8": ([(3, 16, 3), (16, 16, 3)], [(4096, 128), (128, 10)]),
    "A9": ([(3, 32, 3), (32, 32, 3)], [(8192, 256), (256, 128), (128, 10)]),
    "A11": ([(3, 16, 3), (16, 32, 3)], [(8192, 64), (64, 10)]),
}


@pytest.mark.parametrize("system", TWO_CONVOLUTIONS)
def test_two_convolution_networks_have_the_published_shapes(system):
    assert (_convolutions(system), _dense(system)) == TWO_CONVOLUTIONS[system]


@pytest.mark.parametrize(
    ("system", "original"),
    [("A2", "A1"), ("A3", "A1"), ("A5", "A4"), ("A7", "A6"), ("A10", "A9"), ("A12", "A9"), ("A13", "A9"), ("D9", "D3")],
)
def test_systems_that_repeat_a_network_do(system, original):
    assert _study(system).model == _study(original).model


def test_dropout_of_a1_is_where_the_table_says():
    kinds = [type(layer).__name__ for layer in _network("A1")]
    assert kinds == [
        "Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d", "Dropout", "Flatten", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    assert [layer.p for layer in _network("A1") if isinstance(layer, nn.Dropout)] == [0.25, 0.5]


def test_the_four_models_of_b_have_the_published_shapes():
    assert _dense("B1") == [(3072, 10)]
    assert _dense("B2") == [(3072, 250), (250, 10)]
    assert _convolutions("B3") == [(3, 50, 5)]
    assert _convolutions("B4") == [(3, 64, 5), (64, 64, 5), (64, 64, 5)]
    assert len(_dense("B4")) == 2


HEADS_ON_RESNET18 = {
    "B5": ([], [(512, 10)]),
    "B6": ([], [(512, 100), (100, 10)]),
    "B7": ([(256, 150, 3)], [(600, 10)]),
    "B8": ([(64, 128, 3), (128, 128, 3), (128, 128, 3)], [(128, 128), (128, 10)]),
    "B10": ([], [(512, 150), (150, 10)]),
    "B11": ([(256, 64, 3)], [(256, 10)]),
}


@pytest.mark.parametrize("system", HEADS_ON_RESNET18)
def test_heads_on_resnet18_have_the_published_shapes(system):
    assert (_convolutions(system), _dense(system)) == HEADS_ON_RESNET18[system]


@pytest.mark.parametrize("number", range(5, 14))
def test_only_b5_to_b8_freeze_their_backbone(number):
    trainable = {parameter.requires_grad for parameter in _network(f"B{number}").trunk.parameters()}
    assert trainable == {number > 8}


def test_cut_networks_keep_only_the_stages_before_the_cut():
    assert [name for name, _ in _network("B7").trunk.named_children()][-1] == "layer3"
    assert [name for name, _ in _network("B8").trunk.named_children()][-1] == "layer1"


def test_the_best_network_of_c_doubles_its_filters_from_16():
    assert _convolutions("C1") == [(3, 16, 3), (16, 32, 3), (32, 64, 3), (64, 128, 3), (128, 256, 3)]
    assert _dense("C1") == [(256 * 5 * 5, 256), (256, 10)]  # 224 unpadded: 111, 54, 26, 12, 5
    assert _dense("C3") == [(2048, 512), (512, 10)]


@pytest.mark.parametrize(("system", "filters"), [("D2", 32), ("D3", 128), ("D4", 256), ("D5", 512), ("D6", 128)])
def test_four_convolution_networks_have_the_published_shapes(system, filters):
    assert [outputs for _, outputs, _ in _convolutions(system)] == [filters, filters, filters, 2 * filters]
    assert _dense(system) == [(2 * filters * 16 * 16, 4096), (4096, 4096), (4096, 100)]


@pytest.mark.parametrize("system", [f"D{number}" for number in range(2, 11)])
def test_d_trains_as_its_heading_says(system):
    study = _study(system)
    assert (study.optimizer.name, study.optimizer.learning_rate) == ("adam", 1e-4)
    assert (study.training.max_epochs, study.training.batch_size) == (20, 256)


@pytest.mark.parametrize(
    ("system", "widths", "branches", "fully_connected"),
    [
        ("E1", [64, 128, 256], 2, 1),
        ("E2", [64, 128, 256], 2, 1),
        ("E3", [64, 128, 256, 512], 3, 3),
        ("E4", [16, 8, 4], 3, 1),
        ("E5", [64, 128, 256, 512], 3, 3),
        ("E6", [64, 128, 256, 512], 3, 3),
    ],
)
def test_attention_networks_have_the_published_shapes(system, widths, branches, fully_connected):
    blocks = [block for block in _network(system) if isinstance(block, AttentionBlock)]
    assert [block.convolutions[0].out_channels for block in blocks] == widths
    assert {len(block.convolutions) for block in blocks} == {branches}
    assert len(_dense(system)) == fully_connected
    assert _dense(system)[0][0] == widths[-1] * 8 * 8


TOO_LARGE = 320_000_000
"""Parameters beyond which two batches need more memory than a test should take."""


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_two_batches_train(system):
    """Handwritten digits, enlarged and cut at random; backbones at 64 pixels and without their downloaded weights."""
    shape, classes = _images(system)
    study = _study(system)
    if measure_size(study.model, shape, classes).parameters > TOO_LARGE:
        pytest.skip(f"{system} has more than {TOO_LARGE:,} parameters; its shapes are checked on meta")
    config = study.model
    if isinstance(config, BackboneConfig):
        config = config.model_copy(update={"weights": "none"})
        shape = (shape[0], min(shape[1], 64), min(shape[2], 64))
    torch.manual_seed(0)
    network = build_model(config, shape, classes).train()
    initialize(network, study.training.initialization)
    digits = load_digits()
    for batch in range(2):
        chosen = slice(4 * batch, 4 * batch + 4)
        images = _enlarged(torch.tensor(digits.images[chosen], dtype=torch.float32) / 16, shape)
        loss = nn.functional.cross_entropy(network(images), torch.tensor(digits.target[chosen]))
        network.zero_grad()
        loss.backward()
        assert torch.isfinite(loss)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert trained
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in trained)


def _enlarged(images, shape):
    channels, height, width = shape
    larger = nn.functional.interpolate(images[:, None], size=(height + 4, width + 4), mode="bilinear")
    top, left = torch.randint(0, 5, (2,)).tolist()
    return larger[:, :, top : top + height, left : left + width].expand(-1, channels, -1, -1)

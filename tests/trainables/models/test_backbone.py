import copy
import io

import pytest
import torch
from torch import nn

from trainables.config.models import BackboneConfig
from trainables.errors import InfeasibleError, InputError
from trainables.models.architectures import stages
from trainables.models.zoo import build_model

ONE_OF_EACH_FAMILY = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5",
    "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t",
    "swin_v2_t", "vgg11_bn",
]  # fmt: skip
TRANSFORMERS = ["vit_b_32", "maxvit_t"]
SMALL = ["resnet18", "mobilenet_v3_small", "squeezenet1_0", "shufflenet_v2_x0_5", "googlenet", "efficientnet_b0"]


def _build(shape=(3, 32, 32), classes=10, **options):
    return build_model(BackboneConfig(**options), shape, classes)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 64)])
def test_small_and_greyscale_images_go_through_and_train(name, shape):
    model = _build(shape, architecture=name).train()
    logits = model(torch.randn(2, *shape))
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["densenet121", "vit_b_16", "swin_t", "convnext_tiny", "inception_v3"])
def test_larger_networks_take_greyscale_on_meta(name):
    with torch.device("meta"):
        model = _build((1, 96, 96), architecture=name).train()
        assert model(torch.empty(2, 1, 96, 96)).shape == (2, 10)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_are_left_out_and_training_gives_the_main_logits(name):
    with torch.device("meta"):
        model = _build((3, 96, 96), architecture=name).train()
        assert isinstance(model(torch.empty(2, 3, 96, 96)), torch.Tensor)
    assert not any("aux" in key.lower() for key in model.state_dict())


@pytest.mark.parametrize("depth", range(6))
def test_freeze_depth_freezes_the_first_stages(depth):
    model = _build(freeze_depth=depth)
    frozen = {key.split(".")[1] for key, p in model.named_parameters() if not p.requires_grad}
    expected = [{"conv1", "bn1"}, {"layer1"}, {"layer2"}, {"layer3"}, {"layer4"}]
    assert frozen == set().union(*expected[:depth])


def test_freezing_all_freezes_the_tail_too():
    with torch.device("meta"):
        model = _build((3, 64, 64), architecture="vgg11", freeze_depth="all")
        stages_only = _build((3, 64, 64), architecture="vgg11", freeze_depth=5)
    assert not any(parameter.requires_grad for parameter in model.trunk.parameters())
    assert all(parameter.requires_grad for parameter in stages_only.trunk.classifier.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze_depth": 6}, r"6 is beyond the 5 stages of resnet18 \(stem, layer1, .*use 0 to 5, or all"),
        ({"freeze_depth": 3, "cut_at": "layer1"}, "3 is beyond the 2 stages of resnet18 cut at layer1"),
        ({"architecture": "alexnet"}, "map of 192x1x1 shrinks below one pixel in stage block3 on images of 32x32"),
        ({"architecture": "vit_b_16", "head": "conv", "head_units": (4,)}, "has no feature maps at any stage"),
    ],
)
def test_impossible_configurations_say_what_was_received(options, message):
    with torch.device("meta"), pytest.raises(InfeasibleError, match=message):
        _build(**options)


def test_an_unknown_cut_lists_the_stages():
    with pytest.raises(InputError, match="resnet18 has no stage 'layer5'; its stages are stem, layer1, layer2"):
        _build(cut_at="layer5")


def _norms(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_frozen_batch_norms_stay_in_evaluation_mode():
    model = _build(freeze_depth=2)
    nn.Sequential(model).train()  # as part of something larger too
    frozen = [*_norms(model.trunk.bn1), *_norms(model.trunk.layer1)]
    assert not any(layer.training for layer in frozen)
    assert all(layer.training for layer in _norms(model) if layer not in frozen)
    before = copy.deepcopy(frozen[0].running_mean)
    model(torch.randn(4, 3, 32, 32))
    assert torch.equal(before, frozen[0].running_mean)


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_every_network_of_maps_can_be_cut_after_its_second_stage(name):
    cut_at = stages(name)[1].name
    with torch.device("meta"):
        model = _build((3, 96, 96), architecture=name, cut_at=cut_at, head="conv", head_units=(4,)).train()
        assert model(torch.empty(2, 3, 96, 96)).shape == (2, 10)
    held = sum(parameter.numel() for parameter in model.trunk.parameters())
    assert held == sum(stage.parameters for stage in stages(name)[:2])  # nothing behind the cut is kept


def test_a_cut_network_with_a_vector_head_is_averaged():
    model = _build(cut_at="layer2").eval()
    assert model.head[0].in_features == 128
    images = torch.randn(1, 3, 32, 32)
    trunk = model.trunk
    maps = trunk.layer2(trunk.layer1(trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(images))))))
    torch.testing.assert_close(model(images), model.head(maps.mean(dim=(2, 3))))


def test_a_transformer_can_be_cut():
    with torch.device("meta"):
        model = _build((3, 32, 32), architecture="vit_b_16", cut_at="encoder_layer_1")
        assert model(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert len(model.trunk.encoder.layers) == 2


@pytest.mark.parametrize("maps", [1, 3, 8])
def test_convolutional_heads_pad_maps_that_are_too_small(maps):
    model = _build(
        (3, 8 * maps, 8 * maps), cut_at="layer2", head="conv", head_units=(8, 8), head_kernel_size=5, head_pool=True
    )
    assert model(torch.randn(2, 3, 8 * maps, 8 * maps)).shape == (2, 10)


def test_a_model_can_be_saved_whole_and_copied():
    model = _build(architecture="shufflenet_v2_x0_5").eval()
    images = torch.randn(1, 3, 32, 32)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    torch.testing.assert_close(loaded(images), model(images))
    torch.testing.assert_close(copy.deepcopy(model)(images), model(images))


@pytest.mark.parametrize("name", [*ONE_OF_EACH_FAMILY, *TRANSFORMERS])
def test_building_on_meta_leaves_the_random_numbers_alone(name):
    torch.manual_seed(0)
    with torch.device("meta"):
        _build((3, 224, 224), architecture=name)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))

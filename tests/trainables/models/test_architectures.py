import pytest
import torch

from trainables.config.models import BackboneConfig
from trainables.errors import InfeasibleError, InputError
from trainables.models.architectures import architectures, build_trunk, stages
from trainables.models.stages import run_steps
from trainables.models.torchvision_stages import split_stages
from trainables.models.zoo import build_model

ONE_OF_EACH_FAMILY = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5",
    "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "swin_t", "swin_v2_t",
    "vgg11_bn", "vit_b_32",
]  # fmt: skip


def test_every_torchvision_classification_network_is_there():
    assert len(architectures()) >= 80
    assert {"resnet50", "vit_h_14", "regnet_y_128gf"} <= set(architectures())


@pytest.mark.parametrize("name", architectures())
def test_every_network_has_stages(name):
    found = stages(name)
    assert len(found) >= 3
    assert len({stage.name for stage in found}) == len(found)
    assert all(stage.parameters > 0 for stage in found)


@pytest.mark.parametrize(
    "name",
    [name if name in ONE_OF_EACH_FAMILY else pytest.param(name, marks=pytest.mark.slow) for name in architectures()],
)
def test_every_network_takes_a_head_and_freezes(name):
    with torch.device("meta"):
        model = build_model(BackboneConfig(architecture=name, freeze_depth="all"), (3, 224, 224), 10)
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 10)
    trainable = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == {"head.0.weight", "head.0.bias"}


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_each_parameter_belongs_to_one_stage_or_the_tail(name):
    with torch.device("meta"):
        trunk = build_trunk(name, 224)
    anatomy = split_stages(trunk)
    tail = tuple(f"{step}." for step in (*anatomy.tail, anatomy.classifier) if isinstance(step, str))
    for key, _ in trunk.named_parameters():
        owners = [stage.name for stage in anatomy.stages if stage.owns(key)]
        assert len(owners) + key.startswith(tail) == 1, (key, owners)


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_the_steps_are_torchvisions_forward(name):
    """Running the stages, the tail and the classifier is running the network."""
    torch.manual_seed(0)
    size = 224 if name == "maxvit_t" else 96
    trunk = build_trunk(name, size).eval()
    anatomy = split_stages(trunk)
    steps = (*(step for stage in anatomy.stages for step in stage.steps), *anatomy.tail, anatomy.classifier)
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(run_steps(trunk, steps, images), trunk(images))


def test_squeezenet_averages_first_and_does_not_clip_its_logits():
    torch.manual_seed(0)
    trunk = build_trunk("squeezenet1_1", 64).eval()
    anatomy = split_stages(trunk)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        vector = run_steps(trunk, (*(step for stage in anatomy.stages for step in stage.steps), *anatomy.tail), images)
        ours = trunk.classifier[1](vector[:, :, None, None]).flatten(1)
        unclipped = trunk.classifier[1](trunk.features(images)).mean(dim=(2, 3))
    torch.testing.assert_close(ours, unclipped)


def test_stages_of_a_resnet():
    assert [stage.name for stage in stages("resnet18")] == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert stages("resnet18")[0].parameters == 3 * 64 * 49 + 128


def test_an_unknown_network_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="unknown network 'resnet19'; did you mean resnet18"):
        stages("resnet19")
    with pytest.raises(InputError, match="tune-cli zoo models"):
        build_model(BackboneConfig(architecture="fcn_resnet50"), (3, 64, 64), 10)


@pytest.mark.parametrize(
    ("name", "size", "multiple"), [("vit_b_16", 40, 16), ("vit_h_14", 32, 14), ("maxvit_t", 64, 224)]
)
def test_networks_of_patches_say_which_sizes_they_take(name, size, multiple):
    with pytest.raises(
        InfeasibleError, match=f"{name} needs an image size that is a multiple of {multiple}, got .*{size}"
    ):
        build_trunk(name, size)

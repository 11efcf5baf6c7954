import torch
from torch import nn

from trainables.config.models import BackboneConfig, CnnConfig
from trainables.models.classifier import Classifier, backbone_parameters, head_parameters
from trainables.models.zoo import build_model


def _classifier(config):
    return Classifier(build_model(config, (3, 32, 32), 10), mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])


def test_images_are_normalised_by_channel():
    classifier = Classifier(nn.Identity(), mean=[0.5, 0.25], std=[0.5, 0.1])
    images = torch.rand(2, 2, 3, 5)
    expected = torch.stack([(images[:, 0] - 0.5) / 0.5, (images[:, 1] - 0.25) / 0.1], dim=1)
    for given in (images, images.contiguous(memory_format=torch.channels_last)):
        normalised = classifier(given)
        assert torch.equal(normalised, expected)
        assert normalised.stride() == given.stride()


def test_bytes_and_floats_give_the_same_logits():
    classifier = _classifier(CnnConfig(filters=4)).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(classifier(images), classifier(images / 255))


def test_the_normalisation_is_saved_but_not_trained():
    classifier = _classifier(CnnConfig(filters=4))
    assert {"mean", "std"} <= classifier.state_dict().keys()
    assert {"mean", "std"}.isdisjoint(name for name, _ in classifier.named_parameters())


def test_a_network_without_backbone_is_all_head():
    classifier = _classifier(CnnConfig(filters=4))
    assert list(backbone_parameters(classifier)) == []
    assert len(list(head_parameters(classifier))) == len(list(classifier.parameters()))


def test_backbone_and_head_share_the_parameters_out():
    classifier = _classifier(BackboneConfig(architecture="squeezenet1_1", freeze_depth=1))
    backbone, head = set(backbone_parameters(classifier)), set(head_parameters(classifier))
    assert backbone.isdisjoint(head)
    assert backbone | head == set(classifier.parameters())
    assert len(head) == 2
    assert all(parameter.requires_grad for parameter in head)

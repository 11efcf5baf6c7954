"""Stages of torchvision's classification networks, one function per family."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torchvision import models

from trainables.models.stages import Stage, StageLayout, Step, average_map


def split_stages(trunk: nn.Module) -> StageLayout:
    """Split a torchvision network into stages."""
    return _FAMILIES[type(trunk)](trunk)


# Steps between submodules in torchvision's forward functions.


def _flatten(trunk: nn.Module, values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1)


def _relu(trunk: nn.Module, values: torch.Tensor) -> torch.Tensor:
    return torch.relu(values)


def _embed_patches(trunk: Any, images: torch.Tensor) -> torch.Tensor:
    """Vision transformer: patches and class token with position embeddings, N x tokens x width."""
    patches = trunk.conv_proj(images).flatten(2).transpose(1, 2)
    tokens = torch.cat([trunk.class_token.expand(len(images), -1, -1), patches], dim=1)
    return trunk.encoder.dropout(tokens + trunk.encoder.pos_embedding)


def _class_token(trunk: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    return tokens[:, 0]


# One function per family.


def _stage(trunk: nn.Module, name: str, *steps: Step, owned: tuple[str, ...] = ()) -> Stage:
    stage = Stage(name, steps, 0, owned)
    owned_sizes = (value.numel() for key, value in trunk.named_parameters() if stage.owns(key))
    return replace(stage, parameters=sum(owned_sizes))


def _children(trunk: nn.Module, path: str) -> list[str]:
    return [f"{path}.{name}" for name, _ in trunk.get_submodule(path).named_children()]


def _each_child(trunk: nn.Module, path: str) -> tuple[Stage, ...]:
    return tuple(_stage(trunk, child, child) for child in _children(trunk, path))


def _split_at_pools(trunk: nn.Module, path: str) -> tuple[Stage, ...]:
    """Plain sequence of layers: each max-pool ends a stage."""
    groups: list[list[str]] = [[]]
    for child in _children(trunk, path):
        groups[-1].append(child)
        if isinstance(trunk.get_submodule(child), nn.MaxPool2d):
            groups.append([])
    return tuple(_stage(trunk, f"block{number}", *group) for number, group in enumerate(filter(None, groups), start=1))


def _classifier_children(trunk: nn.Module, *before: Step) -> dict[str, Any]:
    """The last child of `classifier` is replaced; the others belong to the tail."""
    *kept, last = _children(trunk, "classifier")
    return {"tail": (*before, *kept), "classifier": last}


def _plain_blocks(trunk: nn.Module) -> StageLayout:
    return StageLayout(_split_at_pools(trunk, "features"), **_classifier_children(trunk, "avgpool", _flatten))


def _features(trunk: nn.Module) -> StageLayout:
    return StageLayout(_each_child(trunk, "features"), **_classifier_children(trunk, average_map))


def _convnext(trunk: nn.Module) -> StageLayout:
    return StageLayout(_each_child(trunk, "features"), **_classifier_children(trunk, "avgpool"))


def _squeezenet(trunk: nn.Module) -> StageLayout:
    # torchvision averages the logits of a 1x1 convolution over the map. Averaging before a linear layer is the same,
    # except for the ReLU on the logits, which serves no purpose.
    return StageLayout(_split_at_pools(trunk, "features"), (average_map, "classifier.0"), "classifier.1")


def _resnet(trunk: nn.Module) -> StageLayout:
    layers = (_stage(trunk, name, name) for name in ("layer1", "layer2", "layer3", "layer4"))
    stem = _stage(trunk, "stem", "conv1", "bn1", "relu", "maxpool")
    return StageLayout((stem, *layers), ("avgpool", _flatten), "fc")


def _densenet(trunk: nn.Module) -> StageLayout:
    block = "features.denseblock"
    return StageLayout(
        (
            _stage(trunk, "stem", "features.conv0", "features.norm0", "features.relu0", "features.pool0"),
            *(_stage(trunk, f"denseblock{n}", f"{block}{n}", f"features.transition{n}") for n in (1, 2, 3)),
            _stage(trunk, "denseblock4", f"{block}4", "features.norm5", _relu),
        ),
        (average_map,),
        "classifier",
    )


def _googlenet(trunk: nn.Module) -> StageLayout:
    return StageLayout(
        (
            _stage(trunk, "conv1", "conv1", "maxpool1"),
            _stage(trunk, "conv2", "conv2", "conv3", "maxpool2"),
            _stage(trunk, "inception3", "inception3a", "inception3b", "maxpool3"),
            _stage(trunk, "inception4", *(f"inception4{letter}" for letter in "abcde"), "maxpool4"),
            _stage(trunk, "inception5", "inception5a", "inception5b"),
        ),
        ("avgpool", _flatten, "dropout"),
        "fc",
    )


def _inception(trunk: nn.Module) -> StageLayout:
    return StageLayout(
        (
            _stage(trunk, "stem", "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
            _stage(trunk, "conv4", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
            _stage(trunk, "mixed5", "Mixed_5b", "Mixed_5c", "Mixed_5d"),
            _stage(trunk, "mixed6", *(f"Mixed_6{letter}" for letter in "abcde")),
            _stage(trunk, "mixed7", "Mixed_7a", "Mixed_7b", "Mixed_7c"),
        ),
        ("avgpool", "dropout", _flatten),
        "fc",
    )


def _shufflenet(trunk: nn.Module) -> StageLayout:
    names = ("stage2", "stage3", "stage4", "conv5")
    stem = _stage(trunk, "stem", "conv1", "maxpool")
    return StageLayout((stem, *(_stage(trunk, name, name) for name in names)), (average_map,), "fc")


def _mnasnet(trunk: nn.Module) -> StageLayout:
    layers = _children(trunk, "layers")
    blocks = (_stage(trunk, f"stack{number}", path) for number, path in enumerate(layers[8:14], start=1))
    stem, last = _stage(trunk, "stem", *layers[:8]), _stage(trunk, "conv_last", *layers[14:])
    return StageLayout((stem, *blocks, last), **_classifier_children(trunk, average_map))


def _regnet(trunk: nn.Module) -> StageLayout:
    blocks = (_stage(trunk, path.rsplit(".", 1)[1], path) for path in _children(trunk, "trunk_output"))
    return StageLayout((_stage(trunk, "stem", "stem"), *blocks), ("avgpool", _flatten), "fc")


def _maxvit(trunk: nn.Module) -> StageLayout:
    stem = _stage(trunk, "stem", "stem")
    return StageLayout((stem, *_each_child(trunk, "blocks")), **_classifier_children(trunk))


def _swin(trunk: nn.Module) -> StageLayout:
    tail = ("norm", "permute", "avgpool", "flatten")
    return StageLayout(_each_child(trunk, "features"), tail, "head", layout="channels_last")


def _vit(trunk: nn.Module) -> StageLayout:
    embedding = _stage(
        trunk,
        "embedding",
        _embed_patches,
        owned=("conv_proj", "class_token", "encoder.pos_embedding", "encoder.dropout"),
    )
    layers = (_stage(trunk, path.rsplit(".", 1)[1], path) for path in _children(trunk, "encoder.layers"))
    return StageLayout((embedding, *layers), ("encoder.ln", _class_token), "heads.head", layout="tokens")


_FAMILIES: dict[type[nn.Module], Callable[[nn.Module], StageLayout]] = {
    models.AlexNet: _plain_blocks,
    models.ConvNeXt: _convnext,
    models.DenseNet: _densenet,
    models.EfficientNet: _features,
    models.GoogLeNet: _googlenet,
    models.Inception3: _inception,
    models.MNASNet: _mnasnet,
    models.MaxVit: _maxvit,
    models.MobileNetV2: _features,
    models.MobileNetV3: _features,
    models.RegNet: _regnet,
    models.ResNet: _resnet,
    models.ShuffleNetV2: _shufflenet,
    models.SqueezeNet: _squeezenet,
    models.SwinTransformer: _swin,
    models.VGG: _plain_blocks,
    models.VisionTransformer: _vit,
}

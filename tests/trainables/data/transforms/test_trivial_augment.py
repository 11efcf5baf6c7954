import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from trainables.data.transforms.trivial_augment import OPERATIONS, trivial_augment


def pictures(count: int = 6, size: int = 32) -> Tensor:
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    return (smooth * 255).round() / 255


def strengths(value: float, count: int = 6) -> Tensor:
    return torch.full((count,), value)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("autocontrast", "equalize", "solarize")])
def test_strength_zero_changes_nothing(name: str) -> None:
    assert torch.allclose(OPERATIONS[name](pictures(), strengths(0.0)), pictures(), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "identity"])
def test_full_strength_changes_every_image(name: str) -> None:
    difference = (OPERATIONS[name](pictures(), strengths(1.0)) - pictures()).abs().flatten(1).mean(dim=1)
    assert difference.min() > 0.002


@pytest.mark.parametrize(
    ("name", "strength", "expected"),
    [
        ("brightness", -0.5, lambda x: reference.adjust_brightness(x, 1 - 0.495)),
        ("colour", 0.5, lambda x: reference.adjust_saturation(x, 1 + 0.495)),
        ("contrast", 0.5, lambda x: reference.adjust_contrast(x, 1 + 0.495)),
        ("sharpness", 0.5, lambda x: reference.adjust_sharpness(x, 1 + 0.495)),
        ("solarize", 0.25, lambda x: reference.solarize(x, 0.75)),
        ("autocontrast", 0.5, reference.autocontrast),
        ("posterize", 0.5, lambda x: reference.posterize((x * 255).round().byte(), 5) / 255),
    ],
)
def test_operations_agree_with_torchvision(name: str, strength: float, expected) -> None:
    ours = OPERATIONS[name](pictures(), strengths(strength))
    theirs = torch.stack([expected(image) for image in pictures()])
    assert (ours - theirs).abs().max() < 0.006


def test_equalize_agrees_with_pillow() -> None:
    images = pictures(size=256)  # Pillow counts in whole steps, which is coarse on small images
    ours = (OPERATIONS["equalize"](images, strengths(0.0)) * 255).round()
    for image, mine in zip(images, ours, strict=True):
        pixels = Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())
        theirs = torch.from_numpy(np.array(ImageOps.equalize(pixels))).permute(2, 0, 1)
        assert (theirs.float() - mine).abs().mean() < 3  # of 255


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_flat_images_stay(name: str) -> None:
    flat = torch.full((2, 3, 8, 8), 0.4)
    assert torch.allclose(OPERATIONS[name](flat, strengths(1.0, 2)), flat, atol=0.003)


def test_all_operations_are_drawn() -> None:
    images = pictures(1).expand(500, -1, -1, -1)
    result = trivial_augment(images, torch.Generator().manual_seed(0))
    unchanged = int(torch.isclose(result, images, atol=1e-6).flatten(1).all(dim=1).sum())
    assert 15 < unchanged < 90  # the identity is one of 14
    assert len(result.flatten(1).unique(dim=0)) > 350

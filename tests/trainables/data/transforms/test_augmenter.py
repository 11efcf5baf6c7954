from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.config import AugmentationConfig
from trainables.data.transforms.augmenter import Augmenter
from trainables.data.transforms.geometric import RandomResizedCrop, to_unit

CLASSES = 4
EVERY_KIND: dict[str, dict[str, Any]] = {
    "light": {"policy": "light"},
    "standard": {"policy": "standard"},
    "trivial_augment": {"policy": "trivial_augment"},
    "horizontal_flip": {"horizontal_flip": 0.5},
    "vertical_flip": {"vertical_flip": 0.5},
    "rotation": {"rotation": 30.0},
    "crop_padding": {"crop_padding": 3},
    "random_resized_crop": {"random_resized_crop": 0.7},
    "brightness": {"brightness": 0.5},
    "contrast": {"contrast": 0.5},
    "saturation": {"saturation": 0.5},
    "sharpness": {"sharpness": 0.9},
    "random_erasing": {"random_erasing": 0.7},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
    "both mixes": {"mixup": 0.4, "cutmix": 1.0},
    "everything": {
        "policy": "standard",
        "vertical_flip": 0.5,
        "rotation": 10.0,
        "crop_padding": 2,
        "sharpness": 0.5,
        "random_erasing": 0.5,
        "mixup": 0.2,
        "cutmix": 0.2,
    },
}
kinds = pytest.mark.parametrize("options", EVERY_KIND.values(), ids=EVERY_KIND.keys())


def pictures(count: int = 32, channels: int = 3, size: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)


def augment(images: Tensor, seed: int = 0, **options: Any) -> tuple[Tensor, Tensor]:
    labels = torch.arange(len(images)) % CLASSES
    return Augmenter(AugmentationConfig(**options), CLASSES)(images, labels, torch.Generator().manual_seed(seed))


def same_pictures(count: int = 32, channels: int = 3) -> Tensor:
    """One picture many times: what differs after augmentation was drawn for each image."""
    return pictures(1, channels).expand(count, -1, -1, -1).contiguous()


@kinds
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("as_float", [False, True])
def test_shape_type_and_range(options: dict[str, Any], channels: int, as_float: bool) -> None:
    images = pictures(channels=channels)
    given = images / 255 if as_float else images
    copy = given.clone()
    result, labels = augment(given, **options)
    assert torch.equal(given, copy), "the batch itself must stay as it is"
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 1
    if "mixup" in options or "cutmix" in options:
        assert labels.shape == (32, CLASSES)
        assert labels.dtype == torch.float32
        assert torch.allclose(labels.sum(dim=1), torch.ones(32))
    else:
        assert torch.equal(labels, torch.arange(32) % CLASSES)


@kinds
def test_equal_seeds_give_equal_batches_and_others_do_not(options: dict[str, Any]) -> None:
    images = pictures()
    first, again, other = (augment(images, seed, **options) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@kinds
def test_nothing_but_the_given_generator_is_drawn_from(options: dict[str, Any]) -> None:
    before = torch.get_rng_state()
    augment(pictures(), **options)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("options", [kind for name, kind in EVERY_KIND.items() if "mix" not in name])
def test_every_image_draws_its_own(options: dict[str, Any]) -> None:
    result, _ = augment(same_pictures(), **options)
    # Flips have two outcomes; everything else nearly as many as images.
    least = 2 if set(options) <= {"horizontal_flip", "vertical_flip"} else 12
    assert len(result.flatten(1).unique(dim=0)) >= least


@kinds
def test_bytes_and_floats_agree(options: dict[str, Any]) -> None:
    """Resized bytes are rounded along rows and then along columns, by a level together."""
    images = pictures()
    if options.get("policy") == "standard" or "sharpness" in options:
        pytest.skip("later steps amplify the rounding")
    assert torch.allclose(augment(images, **options)[0], augment(images / 255, **options)[0], atol=1.1 / 255)


@pytest.mark.parametrize(("count", "size"), [(0, 8), (1, 1), (3, 224), (300, 28)])
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_become_the_same_floats_piece_by_piece(count: int, size: int, channels: int) -> None:
    images = pictures(count, channels, size)
    floats = to_unit(images)
    assert torch.equal(floats, images.float() * (1 / 255))
    assert floats.is_contiguous(memory_format=torch.channels_last)


def test_identity() -> None:
    images = pictures()
    augmenter = Augmenter(AugmentationConfig(), CLASSES)
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    result, labels = augmenter(images, torch.zeros(32, dtype=torch.int64), generator)
    assert torch.allclose(result * 255, images.float())
    assert torch.equal(labels, torch.zeros(32, dtype=torch.int64))
    assert torch.equal(generator.get_state(), state)


@pytest.mark.parametrize(("axis", "name"), [(3, "horizontal_flip"), (2, "vertical_flip")])
def test_flips(axis: int, name: str) -> None:
    images = pictures(400, size=4)
    result, _ = augment(images, **{name: 0.25})
    as_is, mirrored = images / 255, images.flip(axis) / 255
    kept = torch.isclose(result, as_is).flatten(1).all(dim=1)
    flipped = torch.isclose(result, mirrored).flatten(1).all(dim=1)
    assert bool((kept | flipped).all())
    assert 70 <= int(flipped.sum()) <= 130
    assert torch.allclose(augment(images, **{name: 1.0})[0], mirrored)


@pytest.mark.parametrize("padding", [1, 3, 40])
def test_pad_and_crop_is_a_window_on_the_reflected_image(padding: int) -> None:
    """numpy pads for comparison; each result is one of its windows, and the greatest shifts occur."""
    import numpy as np

    images = pictures(1, channels=1, size=5).expand(600, -1, -1, -1)
    result = (augment(images, crop_padding=padding)[0] * 255).round().byte().numpy()[:, 0]
    padded = np.pad(images[0, 0].numpy(), padding, mode="reflect")
    windows = {padded[y : y + 5, x : x + 5].tobytes() for y in range(2 * padding + 1) for x in range(2 * padding + 1)}
    seen = {np.ascontiguousarray(image).tobytes() for image in result}
    assert seen <= windows
    if padding == 1:
        assert seen == windows


def test_flips_and_shifts_are_the_same_on_every_device() -> None:
    """Which rectangles are copied and which pixel is picked: two ways to the same."""
    from trainables.data.transforms.geometric import FlipAndShift, _copy_rectangles, _pick_pixels

    step, images = FlipAndShift(0.5, 0.5, 7), pictures(200, size=8)
    generator = torch.Generator().manual_seed(0)
    rows, columns = step._draw(images, 0.5, generator), step._draw(images, 0.5, generator)
    assert torch.equal(_copy_rectangles(images, rows, columns), _pick_pixels(images, rows, columns))


def test_an_image_of_one_pixel_survives_everything() -> None:
    result, _ = augment(pictures(4, size=1), **EVERY_KIND["everything"])
    assert result.shape == (4, 3, 1, 1)


def test_random_resized_crop_keeps_at_least_its_share() -> None:
    """On a picture whose red grows by column and green by row, the corners tell the box."""
    ramp = torch.arange(64, dtype=torch.float32)
    image = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64)]) * 3
    result, _ = augment(image.byte().expand(500, -1, -1, -1), random_resized_crop=0.5)
    levels = result * 255 / 3
    widths = levels[:, 0, 0, -1] - levels[:, 0, 0, 0] + 1
    heights = levels[:, 1, -1, 0] - levels[:, 1, 0, 0] + 1
    area, aspect = widths * heights / 64**2, widths / heights
    assert 0.44 < area.min() < 0.55
    assert 0.95 < area.max() < 1.05
    assert 0.70 < aspect.min() < 0.80
    assert 1.25 < aspect.max() < 1.42


@pytest.mark.parametrize("channels", [1, 3])
def test_random_resized_crop_resizes_as_torchvision_does(channels: int) -> None:
    from torchvision.transforms.v2.functional import resized_crop

    images = pictures(20, channels, size=40)
    crop = RandomResizedCrop(0.8)
    boxes = crop._boxes(images, torch.Generator().manual_seed(3))
    result = crop(images, torch.Generator().manual_seed(3))
    for image, cropped, box in zip(images, result, boxes.tolist(), strict=True):
        assert torch.equal(cropped, resized_crop(image, *box, size=[40, 40], antialias=True))


def test_random_resized_crop_takes_the_same_box_by_either_way() -> None:
    from trainables.data.transforms.geometric import _resample_all, _resample_each

    images = pictures(8, size=32)[..., :31]
    boxes = torch.tensor([[i, 2 * i, 32 - 2 * i, 31 - 3 * i] for i in range(8)])
    on_grid = _resample_all(images, boxes)
    assert torch.allclose(_resample_each(images / 255, boxes), on_grid, atol=1e-4)
    assert torch.allclose(_resample_each(images, boxes) / 255, on_grid, atol=1.1 / 255)


def test_threads_change_nothing() -> None:
    images, threads = pictures(33, size=24), torch.get_num_threads()
    options = {"horizontal_flip": 0.5, "crop_padding": 3, "random_resized_crop": 0.6}
    alone, _ = augment(images, **options)
    torch.set_num_threads(3)
    try:
        assert torch.equal(augment(images, **options)[0], alone)
    finally:
        torch.set_num_threads(threads)


def test_rotation_turns_about_the_centre_within_the_angle() -> None:
    image = torch.zeros(1, 1, 65, 65)
    image[..., 32, 48] = 1.0  # 16 pixels to the right of the centre; its reflection lies out of reach
    result, _ = augment(image.expand(300, -1, -1, -1), rotation=40.0)
    peak = result.flatten(1).argmax(dim=1)
    y, x = (peak // 65 - 32).float(), (peak % 65 - 32).float()
    angle, radius = torch.atan2(y, x).rad2deg(), (x**2 + y**2).sqrt()
    assert radius.min() >= 15
    assert radius.max() <= 17
    assert 33 < angle.max() < 44
    assert -44 < angle.min() < -33


def test_rotation_keeps_the_shape_of_oblong_images() -> None:
    disc = torch.zeros(1, 1, 21, 61)
    y, x = torch.meshgrid(torch.arange(21.0) - 10, torch.arange(61.0) - 30, indexing="ij")
    disc[0, 0] = ((x**2 + y**2) < 49).float()
    result, _ = augment(disc.expand(16, -1, -1, -1), rotation=180.0)
    middle = (result - disc)[..., 21:40]  # its reflections lie further out
    assert middle.abs().flatten(1).mean(dim=1).max() < 0.05


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
def test_colours_stay_where_the_strength_is_small_and_are_symmetric(name: str) -> None:
    images = (pictures(64) / 255) * 0.5 + 0.25
    little, much = (augment(images, **{name: strength})[0] for strength in (0.01, 0.5))
    assert (little - images).abs().max() < 0.02
    assert (much - images).abs().max() > 0.05
    assert abs(float((much - images).mean())) < 0.05


def test_brightness_is_a_factor_within_its_range() -> None:
    images = torch.full((500, 3, 2, 2), 0.4)
    result, _ = augment(images, brightness=0.25)
    factors = result[:, 0, 0, 0] / 0.4
    assert 0.75 <= factors.min() < 0.77
    assert 1.23 < factors.max() <= 1.2501


def test_contrast_saturation_and_sharpness_leave_flat_grey_alone() -> None:
    images = torch.full((8, 3, 6, 6), 0.4)
    assert torch.allclose(augment(images, contrast=0.9, saturation=0.9, sharpness=0.9)[0], images, atol=1e-5)


def test_a_factor_is_never_negative() -> None:
    assert augment(torch.full((200, 3, 2, 2), 0.5), brightness=3.0)[0].min() >= 0


def test_erasing_covers_one_rectangle_with_the_mean() -> None:
    images = pictures(400, size=32)
    result, _ = augment(images, random_erasing=0.5)
    changed = ((result - images / 255).abs() > 1e-6).any(dim=1)
    touched = changed.flatten(1).any(dim=1)
    assert 160 < int(touched.sum()) < 240
    for row in touched.nonzero().flatten()[:40].tolist():
        y, x = changed[row].nonzero().unbind(1)
        box = result[row, :, y.min() : y.max() + 1, x.min() : x.max() + 1]
        assert 0.01 < box[0].numel() / 32**2 < 0.45
        assert torch.allclose(box, (images[row] / 255).mean(dim=(1, 2))[:, None, None].expand_as(box), atol=1e-5)


def test_mixup_blends_images_and_labels_alike() -> None:
    flat = torch.arange(CLASSES)[:, None, None, None].expand(CLASSES, 3, 4, 4).repeat(16, 1, 1, 1) / CLASSES
    result, labels = augment(flat, mixup=1.0)
    expected = (labels * torch.arange(CLASSES) / CLASSES).sum(dim=1)
    assert torch.allclose(result.mean(dim=(1, 2, 3)), expected, atol=1e-5)
    assert ((labels > 0.05).sum(dim=1) == 2).any()


def test_cutmix_weighs_labels_by_pixels() -> None:
    flat = torch.arange(CLASSES)[:, None, None, None].expand(CLASSES, 3, 9, 9).repeat(16, 1, 1, 1) / CLASSES
    result, labels = augment(flat, cutmix=1.0)
    for label in range(CLASSES):
        share = (result[:, 0] == label / CLASSES).float().mean(dim=(1, 2))
        assert torch.allclose(share, labels[:, label], atol=1e-5)


def test_with_both_mixes_each_batch_uses_one() -> None:
    flat = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 8, 8).repeat(8, 1, 1, 1)
    cut, blended = 0, 0
    for seed in range(40):
        result, _ = augment(flat, seed, mixup=1.0, cutmix=1.0)
        if bool(((result == 0) | (result == 1)).all()):
            cut += 1
        else:
            blended += 1
            assert (result == result[:, :, :1, :1]).all()
    assert 10 < cut < 30


def test_the_policy_comes_first_and_the_parameters_after_it() -> None:
    images = pictures()
    alone, _ = augment(images, policy="light")
    after, _ = augment(images, policy="light", vertical_flip=1.0)
    assert torch.equal(after, alone.flip(2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@kinds
def test_a_gpu_gives_what_the_cpu_gives(options: dict[str, Any]) -> None:
    images = pictures(size=32)
    labels = torch.arange(32) % CLASSES
    augmenter = Augmenter(AugmentationConfig(**options), CLASSES)
    on_gpu, soft = augmenter(images.cuda(), labels.cuda(), torch.Generator().manual_seed(0))
    on_cpu, expected = augmenter(images, labels, torch.Generator().manual_seed(0))
    assert torch.allclose(soft.cpu().float(), expected.float(), atol=1e-5)
    assert (on_gpu.cpu() - on_cpu).abs().mean() < 0.01

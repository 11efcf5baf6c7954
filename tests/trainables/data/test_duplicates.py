import io

import numpy as np
import torch
from PIL import Image, ImageEnhance

from trainables.data.duplicates import near_duplicates, thumbnails


def photographs(count: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    images = [Image.fromarray(one).resize((64, 64), Image.Resampling.BICUBIC) for one in coarse]
    return np.stack([np.asarray(image) for image in images])


def changed(photograph: np.ndarray) -> np.ndarray:
    """Brighter by a tenth, and saved as a poor JPEG."""
    image = ImageEnhance.Brightness(Image.fromarray(photograph)).enhance(1.1)
    file = io.BytesIO()
    image.save(file, "jpeg", quality=50)
    return np.asarray(Image.open(file))


def test_resaved_photographs_are_found_and_others_not() -> None:
    first, second = photographs(50, seed=0), photographs(40, seed=1)
    second[7], second[30] = first[3], changed(first[20])
    assert near_duplicates(thumbnails(first), thumbnails(second)) == [(3, 7), (20, 30)]


def test_the_nearest_is_named() -> None:
    first = photographs(10, seed=0)
    first[2] = changed(first[5])
    assert near_duplicates(thumbnails(first), thumbnails(first[5:6])) == [(5, 0)]


def test_flat_images_are_alike_to_nothing() -> None:
    flat = np.full((3, 8, 8, 1), 200, np.uint8)
    assert near_duplicates(thumbnails(flat), thumbnails(flat)) == []


def test_empty_splits() -> None:
    none = np.empty((0, 8, 8, 3), np.uint8)
    some = photographs(3, seed=0)
    assert thumbnails(none).shape == (0, 256)
    assert near_duplicates(thumbnails(none), thumbnails(some)) == []
    assert near_duplicates(thumbnails(some), thumbnails(none)) == []


def test_more_images_than_are_compared_at_once() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2100, 8, 8, 1), dtype=np.uint8)
    pairs = near_duplicates(thumbnails(images), thumbnails(images[::-1].copy()))
    assert pairs == [(2099 - row, row) for row in range(2100)]
    assert thumbnails(images).dtype == torch.float32

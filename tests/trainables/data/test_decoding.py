import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.decoding import ImageFormat, decode_file, decode_files

RGB = ImageFormat(size=16, channels=3, resize="crop")
GREY = ImageFormat(size=16, channels=1, resize="crop")
RED = (255, 0, 0)


def mean_colour(path: Path) -> list[int]:
    return [round(value) for value in decode_file(path, RGB).mean(axis=(0, 1)).tolist()]


def reason(path: Path) -> str:
    result = decode_files(path.parent, [path.name], RGB)
    assert result.images.shape == (0, 16, 16, 3)
    assert [file.path for file in result.unreadable] == [path.name]
    return result.unreadable[0].reason


@pytest.mark.parametrize(("image_format", "channels"), [(RGB, 3), (GREY, 1)])
def test_shape_and_type(
    tmp_path: Path, save_photo: Callable[..., None], image_format: ImageFormat, channels: int
) -> None:
    save_photo(tmp_path / "a.jpg", seed=0)
    pixels = decode_file(tmp_path / "a.jpg", image_format)
    assert pixels.shape == (16, 16, channels)
    assert pixels.dtype == np.uint8


def test_crop_keeps_the_centre_and_stretch_keeps_everything(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 32), "black")
    image.paste("white", (12, 0, 52, 32))
    image.save(tmp_path / "a.png")
    assert decode_file(tmp_path / "a.png", RGB).min() == 255
    stretched = decode_file(tmp_path / "a.png", ImageFormat(16, 3, "stretch"))
    assert stretched[8, :2, 0].tolist() == [0, 0]
    assert stretched[8, 8, 0] == 255


def test_a_jpeg_much_larger_than_needed_looks_the_same(tmp_path: Path, save_photo: Callable[..., None]) -> None:
    """Such files are decoded at a fraction of their size, which must not show."""
    save_photo(tmp_path / "a.jpg", seed=3, size=(640, 480))
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")
    fast, exact = (decode_file(tmp_path / name, RGB).astype(int) for name in ("a.jpg", "a.png"))
    assert abs(fast - exact).max() <= 6


def test_16_bit_png(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 16 * 16).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(decode_file(tmp_path / "a.png", GREY)[..., 0], values >> 8)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    assert np.allclose(mean_colour(tmp_path / "a.jpg"), RED, atol=3)


def test_transparent_png_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (20, 20), (255, 0, 0, 51)).save(tmp_path / "thin.png")
    assert mean_colour(tmp_path / "clear.png") == [255, 255, 255]
    assert mean_colour(tmp_path / "thin.png") == [255, 204, 204]


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert mean_colour(tmp_path / "a.png") == list(RED)
    assert mean_colour(tmp_path / "clear.png") == [255, 255, 255]


def test_of_an_animated_gif_the_first_frame_counts(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (20, 20), "red"), Image.new("RGB", (20, 20), "blue")
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert mean_colour(tmp_path / "a.gif") == list(RED)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), "black")
    image.paste("white", (0, 0, 32, 16))  # the camera saw the bright half above ...
    exif = Image.Exif()
    exif[0x0112] = 6  # ... and says: turn me clockwise by a quarter
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    pixels = decode_file(tmp_path / "a.jpg", GREY)[..., 0].astype(int)
    assert pixels[:, :7].max() < 10
    assert pixels[:, 9:].min() > 245


def test_truncated_jpeg(tmp_path: Path, save_photo: Callable[..., None]) -> None:
    save_photo(tmp_path / "whole.jpg", seed=0, size=(200, 200))
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    assert "truncated" in reason(tmp_path / "a.jpg")


def test_text_named_jpg(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("this is no picture")
    assert reason(tmp_path / "a.jpg") == "not an image of a known format"


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert reason(tmp_path / "a.png") == "not an image of a known format"


def test_vanished_file(tmp_path: Path) -> None:
    assert "vanished" in reason(tmp_path / "a.jpg")


def test_floating_point_pixels(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 20), np.float32)).save(tmp_path / "a.tiff")
    assert "floating-point" in reason(tmp_path / "a.tiff")


def test_decompression_bomb(tmp_path: Path) -> None:
    """A PNG of 30,000 x 30,000 pixels that is a few hundred bytes long; nobody may allocate what it promises."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    assert "decompression bomb" in reason(tmp_path / "a.png")


def test_readable_ones_keep_their_place(tmp_path: Path, save_photo: Callable[..., None]) -> None:
    for seed, name in enumerate(("a.jpg", "c.jpg")):
        save_photo(tmp_path / name, seed)
    (tmp_path / "b.jpg").write_text("no picture")
    result = decode_files(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], RGB)
    assert result.positions == (0, 2)
    assert np.array_equal(result.images[1], decode_file(tmp_path / "c.jpg", RGB))

"""One image, from a file or an array, to uint8 height x width x channels. No torch: decoding processes start quickly.

What is read and how: EXIF rotation is applied; transparency is laid on white, as a browser shows it; 16-bit greys keep
their upper eight bits; CMYK and palettes become RGB; of an animation the first frame counts.

A file is what its content says, not its name. So the formats are listed: those in which photographs are kept and that
Pillow decodes by itself. At an EPS file named `a.jpg` Pillow would start Ghostscript, a program of its own.

Memory: an image has at most 178,956,970 pixels (Pillow's limit against decompression bombs) and takes 8 bytes for each
here, 1.4 GB, beside what its decoder needs; a process of `decoding_processes` may not have more than 4 GiB in all.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "WEBP",
    "AVIF",
    "GIF",
    "BMP",
    "DIB",
    "TIFF",
    "JPEG2000",
    "PPM",
    "TGA",
    "ICO",
)
"""Pillow's names of what is read. None of them needs another program or leads to another file."""

_NAMED_FORMATS = ("EPS", "WMF", "PSD", "FITS", "ICNS", "QOI", "DDS")
"""Formats that are not read and can be told by their first bytes."""

_ROWS_AT_ONCE = 256
"""Of an image that is converted, so that what lies between two steps of it is small."""
_SIGNATURE_BYTES = 16


@dataclass(frozen=True)
class ImageFormat:
    """What every image of one cache entry looks like."""

    size: int
    """Height and width in pixels."""
    channels: int
    """1: greyscale, 3: RGB."""
    resize: Literal["crop", "stretch"]


@dataclass(frozen=True)
class UnreadableFile:
    """A file that was left out."""

    path: str
    """Relative to the data set's root, with `/`."""
    reason: str


@dataclass(frozen=True)
class DecodedFiles:
    """The readable ones among some files."""

    images: NDArray[np.uint8]
    """n x H x W x C."""
    positions: tuple[int, ...]
    """Where each image stood among the files asked for."""
    unreadable: tuple[UnreadableFile, ...]


def decode_file(path: Path, image_format: ImageFormat) -> NDArray[np.uint8]:
    """Read one file, any of `FORMATS`, as H x W x C.

    Raises:
        Exception: whatever Pillow finds wrong with the file; it has no common base class.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata of readable photographs: nothing a reader could act on
        with Image.open(path, formats=_offered()) as image:
            # A JPEG is decoded at a half, quarter or eighth where that leaves twice the pixels needed.
            image.draft(None, (2 * image_format.size, 2 * image_format.size))
            ImageOps.exif_transpose(image, in_place=True)
            return fit_image(image, image_format)


@cache
def _offered() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def fit_image(image: Image.Image, image_format: ImageFormat) -> NDArray[np.uint8]:
    """Convert and resize (bilinear, over all source pixels) to H x W x C.

    Raises:
        ValueError: pixels are floating-point numbers, whose range nobody states.
    """
    image = _convert(image, "L" if image_format.channels == 1 else "RGB")
    target = (image_format.size, image_format.size)
    if image.size != target:
        box = _centre_square(*image.size) if image_format.resize == "crop" else None
        image = image.resize(target, Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _centre_square(width: int, height: int) -> tuple[float, float, float, float]:
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; save it as 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _by_rows(image, "L", _upper_bits)
    elif image.has_transparency_data:
        image = _by_rows(image, "RGBA", _on_white)
    return image if image.mode == mode else image.convert(mode)


def _by_rows(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`convert` pixel by pixel, some rows at a time."""
    converted = Image.new(mode, image.size)
    width, height = image.size
    for top in range(0, height, _ROWS_AT_ONCE):
        rows = image.crop((0, top, width, min(top + _ROWS_AT_ONCE, height)))
        converted.paste(convert(rows), (0, top))
    return converted


def _upper_bits(rows: Image.Image) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(rows).astype(np.int64) >> 8, 0, 255).astype(np.uint8))


def _on_white(rows: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", rows.size, "white"), rows.convert("RGBA"))


def decode_files(root: Path, names: Sequence[str], image_format: ImageFormat) -> DecodedFiles:
    """Decode files of one folder; what cannot be read is named with its reason, never raised."""
    images, positions, unreadable = [], [], []
    for position, name in enumerate(names):
        try:
            images.append(decode_file(root / name, image_format))
        except Exception as error:  # damaged files raise anything: OSError, SyntaxError, struct.error, ...
            unreadable.append(UnreadableFile(name, _reason(error, root / name)))
        else:
            positions.append(position)
    shape = (0, image_format.size, image_format.size, image_format.channels)
    stacked = np.stack(images) if images else np.empty(shape, np.uint8)
    return DecodedFiles(stacked, tuple(positions), tuple(unreadable))


def _reason(error: Exception, path: Path) -> str:
    match error:
        case FileNotFoundError():
            return "vanished after the folder was listed, or a link to nowhere"
        case MemoryError():
            return "decoding it takes more memory than there is, or than one image may have"
        case PermissionError():
            return "no permission to read it"
        case UnidentifiedImageError():
            return _not_read(path)
        case Image.DecompressionBombError():
            return f"too many pixels, as in a decompression bomb ({error})"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _not_read(path: Path) -> str:
    """What a file of none of `FORMATS` is. Only its first bytes are looked at; no decoder is started."""
    with open(path, "rb") as file:
        signature = file.read(_SIGNATURE_BYTES)
    for name in _NAMED_FORMATS:
        _, accepts = Image.OPEN.get(name, (None, None))
        if accepts is not None and accepts(signature):
            return f"{name} is not read; save it as PNG or JPEG"
    return "not an image of a known format"

"""Files that are not the photographs that their names say: nothing is started, memory is bounded, all are named."""

import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.decoding import FORMATS, ImageFormat, decode_files
from trainables.data.decoding_processes import decode_in_processes

RGB = ImageFormat(size=16, channels=3, resize="crop")

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 20 20
%%EndComments
0 0 20 20 rectfill
showpage
%%EOF
"""


def reason(path: Path) -> str:
    (unreadable,) = decode_files(path.parent, [path.name], RGB).unreadable
    return unreadable.reason


_OPEN_IN_TWO_WAYS = """
import sys
from pathlib import Path
from PIL import Image
from trainables.data.decoding import ImageFormat, decode_files
picture, mark = Path(sys.argv[1]), Path(sys.argv[2])
print(decode_files(picture.parent, [picture.name], ImageFormat(16, 3, "crop")).unreadable[0].reason)
print(mark.exists())
try:
    Image.open(picture).load()
except Exception:
    pass
print(mark.exists())
"""


def test_eps_under_a_pictures_name_starts_no_ghostscript(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    (tmp_path / "a.jpg").write_bytes(EPS)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    command = [sys.executable, "-c", _OPEN_IN_TWO_WAYS, str(tmp_path / "a.jpg"), str(mark)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    answer, started_by_us, started_by_pillow = done.stdout.splitlines()
    assert answer == "EPS is not read; save it as PNG or JPEG"
    assert started_by_us == "False"
    assert started_by_pillow == "True", "or this test shows nothing"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\xc5\xd0\xd3\xc6" + struct.pack("<7I", 32, len(EPS), 0, 0, 0, 0, 0xFFFF) + EPS, "EPS"),
        (b"\xd7\xcd\xc6\x9a" + bytes(60), "WMF"),
        (b"8BPS" + bytes(60), "PSD"),
        (b"SIMPLE  =                    T" + bytes(60), "FITS"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert reason(tmp_path / "a.png") == f"{name} is not read; save it as PNG or JPEG"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_list_is_read(tmp_path: Path, name: str) -> None:
    Image.init()
    if name not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {name}")
    Image.new("RGB", (32, 32), (255, 0, 0)).save(tmp_path / "a", format=name)
    decoded = decode_files(tmp_path, ["a"], RGB)
    assert decoded.unreadable == ()
    assert np.abs(decoded.images.astype(int) - (255, 0, 0)).max() < 12


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(*chunks: bytes, size: int = 4) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
    pixels = _chunk(b"IDAT", zlib.compress((b"\0" + bytes(3 * size)) * size))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + _chunk(b"IEND", b"")


def _big_tiff(count: int) -> bytes:
    """One tag that says it holds `count` bytes."""
    entries = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (700, 1, count, 8)]
    directory = struct.pack("<Q", len(entries)) + b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
    return b"II" + struct.pack("<HHHQ", 43, 8, 0, 16) + directory + struct.pack("<Q", 0) + bytes(64)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    "content",
    [
        _png(_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(300 << 20), 9))),
        _png(*[_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20), 9))] * 300),
        _png(_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(300 << 20), 9))),
        _big_tiff(2**31),
        _big_tiff(2**45),
        _big_tiff(2**63),
    ],
    ids=["long text", "many texts", "color profile", "tag of 2 GiB", "tag of 32 TiB", "tag of 8 EiB"],
)
def test_metadata_made_to_hurt_takes_no_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    before = _peak_bytes()
    decoded = decode_files(tmp_path, ["a.jpg"], RGB)
    assert len(decoded.positions) + len(decoded.unreadable) == 1
    assert _peak_bytes() - before < 200 << 20


@pytest.mark.parametrize(("mode", "bytes_a_pixel"), [("RGBA", 8), ("I;16", 8), ("RGB", 8)])
def test_large_images_take_eight_bytes_a_pixel(tmp_path: Path, mode: str, bytes_a_pixel: int) -> None:
    """In a process of its own, whose peak is this image's."""
    Image.new(mode, (5000, 5000)).save(tmp_path / "a.png", compress_level=1)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from trainables.data.decoding import ImageFormat, decode_file\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "decode_file(Path(sys.argv[2]), ImageFormat(16, 3, 'crop')); before = peak()\n"
        "decode_file(Path(sys.argv[1]), ImageFormat(16, 3, 'crop')); print(peak() - before)\n"
    )
    Image.new(mode, (8, 8)).save(tmp_path / "small.png")
    command = [sys.executable, "-c", code, str(tmp_path / "a.png"), str(tmp_path / "small.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < (bytes_a_pixel + 1) * 5000 * 5000


def test_processes_go_on_after_a_file_that_asks_for_too_much(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "bad.tiff").write_bytes(_big_tiff(2**45))
    (chunk,) = decode_in_processes(tmp_path, ["bad.tiff", "good.png"], RGB, processes=2)
    assert len(chunk.positions) + len(chunk.unreadable) == 2
    assert chunk.positions[-1] == 1

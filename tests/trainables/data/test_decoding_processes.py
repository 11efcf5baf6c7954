import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainables.data.decoding import ImageFormat
from trainables.data.decoding_processes import decode_in_processes
from trainables.errors import DataError

RGB = ImageFormat(size=16, channels=3, resize="crop")
KILLED = r"was killed, probably because memory ran out: .* among the 32 from 0\.png to 0\.png"


def test_processes_decode_what_one_process_does_in_the_same_order(
    tmp_path: Path, save_photo: Callable[..., None]
) -> None:
    names = [f"{seed}.png" for seed in range(80)]
    for seed, name in enumerate(names):
        save_photo(tmp_path / name, seed)
    (tmp_path / names[40]).write_text("no picture")
    alone = list(decode_in_processes(tmp_path, names, RGB, processes=1))
    several = list(decode_in_processes(tmp_path, names, RGB, processes=2))
    assert [block.unreadable for block in several] == [block.unreadable for block in alone]
    assert all(np.array_equal(one.images, two.images) for one, two in zip(alone, several, strict=True))


_DECODE_FOR_EVER = """
import sys
from pathlib import Path
from trainables.data.decoding import ImageFormat
from trainables.data.decoding_processes import decode_in_processes

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for block in decode_in_processes(folder, ["0.png"] * 1_000_000, ImageFormat(64, 3, "crop"), processes=2):
        print("decoded", flush=True)
"""


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def decoding_for_ever(tmp_path: Path, save_photo: Callable[..., None]) -> "subprocess.Popen[str]":
    save_photo(tmp_path / "0.png", seed=0)
    script = tmp_path / "script.py"
    script.write_text(_DECODE_FOR_EVER)
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "decoded\n", process.stderr and process.stderr.read()
        yield process
        process.kill()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_processes_end_with_a_killed_parent(decoding_for_ever: "subprocess.Popen[str]") -> None:
    children = _children(decoding_for_ever.pid)
    assert len(children) >= 2
    decoding_for_ever.kill()
    decoding_for_ever.wait()
    deadline = time.monotonic() + 20
    while any(_is_running(child) for child in children):
        assert time.monotonic() < deadline, "decoding processes outlived their parent"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_process_is_an_error_that_says_so(tmp_path: Path, save_photo: Callable[..., None]) -> None:
    save_photo(tmp_path / "0.png", seed=0)
    before = set(_children(os.getpid()))
    blocks = decode_in_processes(tmp_path, ["0.png"] * 100_000, RGB, processes=2)
    next(blocks)
    workers = [
        pid
        for pid in set(_children(os.getpid())) - before
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)
    with pytest.raises(DataError, match=KILLED):
        for _ in blocks:
            pass
    assert multiprocessing.active_children() == []


_DIE_IN_MID_WRITE = """
import os, signal

write = os.write

def write_half(fd, content):
    if len(content) > 100_000:
        try:
            os.close(os.open({marker!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            write(fd, bytes(content)[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
    return write(fd, content)

os.write = write_half
"""


def test_a_process_killed_while_it_writes_its_result_is_not_waited_for(
    tmp_path: Path, save_photo: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the two; its first result, of 393 kB, is cut off in the middle."""
    marker = tmp_path / "died"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_DIE_IN_MID_WRITE.format(marker=str(marker)))
    path = os.pathsep.join((str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("PYTHONPATH", path)
    save_photo(tmp_path / "0.png", seed=0)
    blocks = decode_in_processes(tmp_path, ["0.png"] * 100_000, ImageFormat(64, 3, "crop"), processes=2)
    with pytest.raises(DataError, match=KILLED):
        for _ in blocks:
            pass
    assert marker.exists()
    assert multiprocessing.active_children() == []


def test_processes_end_with_whoever_asked_for_the_images(tmp_path: Path, save_photo: Callable[..., None]) -> None:
    save_photo(tmp_path / "0.png", seed=0)
    blocks = decode_in_processes(tmp_path, ["0.png"] * 100_000, RGB, processes=2)
    next(blocks)
    assert len(multiprocessing.active_children()) == 2
    blocks.close()
    assert multiprocessing.active_children() == []

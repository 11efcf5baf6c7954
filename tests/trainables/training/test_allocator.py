import subprocess
import sys

import pytest

_MINOR_FAULTS = """
import ctypes, resource, sys
from trainables.training.allocator import return_freed_memory, reuse_freed_memory
if sys.argv[1] == "reuse":
    assert reuse_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
size = 48_000_000
def use():
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(size)))
    libc.memset(block, 1, ctypes.c_size_t(size))
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
return_freed_memory()
"""


def minor_faults(mode: str) -> int:
    done = subprocess.run([sys.executable, "-c", _MINOR_FAULTS, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's switch")
def test_freed_memory_is_taken_again_without_asking_the_system() -> None:
    assert minor_faults("reuse") < minor_faults("default") / 10

"""Device and precision of a trial."""

import functools
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch


@dataclass(frozen=True)
class Compute:
    """A device and the precision of its matrix products."""

    device: torch.device
    bf16: bool

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which forward passes run."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def choose_compute(precision: Literal["auto", "fp32", "bf16"]) -> Compute:
    """The GPU if this process may use one, else the CPU; bf16 if requested, or if `auto` and natively supported."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()
    return Compute(device, bf16=precision == "bf16" or (precision == "auto" and native))


@functools.cache
def _cpu_has_bf16() -> bool:
    """Whether the CPU supports bf16 natively; emulated, it is slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:  # not Linux: assume it does not
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags

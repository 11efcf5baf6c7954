"""Version of this package's code and of its libraries, which affect a trial's results besides its configuration.

The driver sends its own with every job, and a worker compares before it trains: a node with other versions would give
results that cannot be compared, unnoticed. This guards against mistakes only. A malicious worker could lie about this
too; Ray's token decides who can be a worker.
"""

import hashlib
import json
import platform
import socket
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Self

_LIBRARIES = ("torch", "torchvision", "kornia", "numpy", "pillow", "ray")

_SHOWN = 12
"""Digits of a digest shown in errors."""


@dataclass(frozen=True)
class Software:
    """The code and libraries of one process."""

    code: str
    """Hex digest of the source files of `trainables`."""
    versions: dict[str, str]
    """`python` and the libraries."""

    def differences(self, other: "Software") -> str:
        """How `other` differs from this one, by name with both values; empty if they are equal."""
        found = [
            f"{name} is {other.versions.get(name, 'missing')}, not {self.versions.get(name, 'missing')}"
            for name in sorted(self.versions.keys() | other.versions.keys())
            if self.versions.get(name) != other.versions.get(name)
        ]
        if self.code != other.code:
            found.insert(0, f"the code of trainables is {other.code[:_SHOWN]}, not {self.code[:_SHOWN]}")
        return "; ".join(found)


@cache
def own_software() -> Software:
    """Software of this process, read once: later changes to the files are not loaded."""
    versions = {name: version(name) for name in _LIBRARIES}
    return Software(_code(Path(__file__).parent), {"python": platform.python_version(), **versions})


def _code(package: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        for part in (path.relative_to(package).as_posix().encode(), path.read_bytes()):
            content.update(len(part).to_bytes(8, "big") + part)
    return content.hexdigest()


@dataclass(frozen=True)
class WorkerReport:
    """A worker's description of itself, sent with every result."""

    host: str
    study: str
    """Token of the study of its first job."""
    software: Software

    def to_json(self) -> str:
        """A single string, because Ray Tune flattens dictionaries and keeps a history of every number in a result."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`."""
        content = json.loads(text)
        return cls(content["host"], content["study"], Software(**content["software"]))


def own_report(study: str) -> WorkerReport:
    """Report of this process, working for a study."""
    return WorkerReport(socket.gethostname(), study, own_software())

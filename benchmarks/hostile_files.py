"""How long, and in how much memory, `plan` answers files made to hurt: each in a process of its own.

    python benchmarks/hostile_files.py [--seconds 5] [--gibibytes 1] [NAME ...]

A process may have so much private memory (RLIMIT_DATA), and a watchdog ends it where it hangs. A table of the slowest
follows; the exit code is 1 where an answer was wrong, took longer, or came with a traceback. Seconds are those of the
processor, other work on the machine does not count; the limit is on what a file takes beyond a small study, which takes
some for the import of torch.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.fuzz.hostile import EVERY, Hostile

_SMALL = Hostile("a small study", "name: s\ndata: {dataset: digits}\nspace: {model.filters: {choices: [1, 2]}}\n", None)

_WATCHDOG = 120.0
"""Seconds on the clock after which a process is ended."""


@dataclass(frozen=True)
class Outcome:
    """What one file came to."""

    name: str
    seconds: float
    """Of the processor."""
    mebibytes: int
    """Largest resident memory of any process so far, libraries included."""
    fault: str | None


def plan(hostile: Hostile, folder: Path, gibibytes: float) -> Outcome:
    file = folder / "s.yaml"
    file.write_bytes(hostile.text.encode("utf-8", "surrogatepass"))
    limit = int(gibibytes * 2**30)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "plan", str(file)],
        stdout=(folder / "out").open("w"),
        stderr=(folder / "err").open("w"),
        env=os.environ | {"LONG": "x" * 1_000},
        cwd=Path(__file__).parents[1],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    try:
        process.wait(_WATCHDOG)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    error = (folder / "err").read_text()
    return Outcome(hostile.name, seconds, after.ru_maxrss // 1024, _fault(hostile, process.returncode, error))


def _fault(hostile: Hostile, code: int, error: str) -> str | None:
    wanted = 0 if hostile.said is None else 2
    if "Traceback" in error:
        return f"traceback: {error.splitlines()[-1]}"
    if code != wanted:
        return f"exit code {code} instead of {wanted}: {error[:200]}"
    return None if (hostile.said or "") in error else f"says {error[:200]!r}, not {hostile.said!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="files whose names hold one of these; default: all")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--gibibytes", type=float, default=1.0)
    arguments = parser.parse_args()
    chosen = [one for one in EVERY if not arguments.names or any(name in one.name for name in arguments.names)]
    with tempfile.TemporaryDirectory() as folder:
        small = plan(_SMALL, Path(folder), arguments.gibibytes)
        print(f"{small.seconds:6.1f} s  {small.name}, {small.mebibytes} MiB", flush=True)
        outcomes = [plan(one, Path(folder), arguments.gibibytes) for one in chosen]
    faults = [f"{one.name}: {one.fault}" for one in [small, *outcomes] if one.fault]
    faults += [
        f"{one.name}: {one.seconds - small.seconds:.1f} s beyond a small study"
        for one in outcomes
        if one.seconds - small.seconds > arguments.seconds
    ]
    for one in sorted(outcomes, key=lambda one: one.seconds, reverse=True)[:10]:
        print(f"{one.seconds:6.1f} s  {one.name}")
    print(f"{len(outcomes)} files, largest process {max(one.mebibytes for one in outcomes)} MiB, {len(faults)} faults")
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main()

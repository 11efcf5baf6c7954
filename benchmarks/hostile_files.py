"""How long, and in how much memory, `plan` answers files made to hurt: each in a process of its own.

    python benchmarks/hostile_files.py [--seconds 5] [--gibibytes 1] [NAME ...]

A process may have so much private memory (RLIMIT_DATA) and is ended after ten times the seconds. A table of the slowest
follows; the exit code is 1 where an answer was wrong, took longer, or came with a traceback. The seconds are those
beyond what a small study takes, most of which is the import of torch.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.fuzz.hostile import EVERY, Hostile

_SMALL = Hostile("a small study", "name: s\ndata: {dataset: digits}\nspace: {model.filters: {choices: [1, 2]}}\n", None)


@dataclass(frozen=True)
class Outcome:
    """What one file came to."""

    name: str
    seconds: float
    mebibytes: int
    """Largest resident memory, libraries included."""
    fault: str | None


def plan(hostile: Hostile, folder: Path, gibibytes: float, watchdog: float) -> Outcome:
    file = folder / "s.yaml"
    file.write_bytes(hostile.text.encode("utf-8", "surrogatepass"))
    limit = int(gibibytes * 2**30)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "plan", str(file)],
        stdout=(folder / "out").open("w"),
        stderr=(folder / "err").open("w"),
        cwd=Path(__file__).parents[1],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    try:
        process.wait(watchdog)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    seconds = time.monotonic() - began
    mebibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    error = (folder / "err").read_text()
    return Outcome(hostile.name, seconds, mebibytes, _fault(hostile, process.returncode, error))


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
        small = plan(_SMALL, Path(folder), arguments.gibibytes, 60.0)
        print(f"{small.seconds:6.1f} s  {small.name}", flush=True)
        outcomes = [
            plan(one, Path(folder), arguments.gibibytes, 10 * arguments.seconds + small.seconds) for one in chosen
        ]
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

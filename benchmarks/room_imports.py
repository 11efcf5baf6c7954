"""How many rooms a package has, and how many pairs of rooms an import ties together, at commits of this repository.

    python benchmarks/room_imports.py HEAD [COMMIT ...]

A room is a file or folder directly below `tuning`, `cli` or `trainables`.
"""

import argparse
import re
import subprocess

PACKAGES = ("tuning", "cli", "trainables")
_IMPORT = re.compile(r"^\s*(?:from (\S+) import|import (\S+))", re.MULTILINE)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def modules(commit: str) -> dict[str, str]:
    """Dotted name to text of each module."""
    names = git("ls-tree", "-r", "--name-only", commit, *PACKAGES).split()
    paths = [name for name in names if name.endswith(".py")]
    return {path[:-3].removesuffix("/__init__").replace("/", "."): git("show", f"{commit}:{path}") for path in paths}


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def ties(found: dict[str, str], package: str) -> set[tuple[str, str]]:
    """Pairs of rooms of one package of which the first imports the second."""
    pairs = set()
    for module, text in found.items():
        for match in _IMPORT.finditer(text):
            target = match[1] or match[2]
            if target.startswith(f"{package}.") and module.startswith(f"{package}."):
                pairs.add((room(module), room(target)))
    return {(importing, imported) for importing, imported in pairs if importing != imported}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs="+", metavar="COMMIT")
    options = parser.parse_args()
    for commit in options.commits:
        found = modules(commit)
        for package in PACKAGES:
            rooms = {room(module) for module in found if module.startswith(f"{package}.")}
            tied = len(ties(found, package))
            print(f"{commit:12s} {package:11s} {len(rooms):3d} rooms, {tied:4d} imports between them")


if __name__ == "__main__":
    main()

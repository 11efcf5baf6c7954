"""Guard against another installed program that brings import packages of the same plain names."""

from importlib.machinery import PathFinder
from pathlib import Path

from trainables.errors import InputError

DISTRIBUTION = "tune-image-classifiers"
OWN_PACKAGES = ("cli", "search_spaces", "trainables", "tuning")


def check_packages() -> None:
    """Refuse to run on somebody else's modules. Looks each package up without importing it: under a millisecond.

    Raises:
        InputError: one of our packages would be imported from elsewhere; the message names the folder.
    """
    home = Path(__file__).resolve().parent.parent
    for name in OWN_PACKAGES:
        found = _folder(name)
        if found != home / name:
            raise InputError(
                f"the package {name!r} would be imported from {found or 'nowhere'}, not from {home / name}: another "
                f"program in this environment, or a folder on PYTHONPATH, uses the same name. Install tune-cli in an "
                f"environment of its own, and run it from another folder."
            )


def _folder(package: str) -> Path | None:
    spec = PathFinder.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent

"""Which version of this program wrote a study, and whether this one may go on with it."""

from importlib.metadata import version

from packaging.version import Version

from trainables.errors import InputError

PROGRAM_VERSION = version("tune-image-classifiers")


def require_known_version(study: str, written_by: str) -> None:
    """Refuse a study that a newer version has worked on: it may mean things that this one does not know.

    Raises:
        InputError: names both versions.
    """
    if Version(written_by) > Version(PROGRAM_VERSION):
        raise InputError(
            f"study {study!r} was last worked on by version {written_by} of this program, and this is "
            f"{PROGRAM_VERSION}; go on with it by version {written_by} or newer"
        )

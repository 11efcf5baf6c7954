"""What becomes of an error in writing the study's own files: words that a person can act on."""

from collections.abc import Iterator
from contextlib import contextmanager

from trainables.errors import RecordError
from tuning.storage.paths import StudyFolder


@contextmanager
def writing(folder: StudyFolder) -> Iterator[None]:
    """Write files of a study.

    Raises:
        RecordError: for any OSError; says what to do.
    """
    try:
        yield
    except OSError as error:
        raise RecordError(unwritable(folder, str(error.strerror or error))) from error


def unwritable(folder: StudyFolder, problem: str) -> str:
    """Say that a study stops because its files cannot be written."""
    return (
        f"the files of study {folder.name!r} in {folder.path} cannot be written ({problem}). All that was recorded is "
        f"safe: see to it that there is room and permission, then go on with `{folder.command('resume')}`"
    )

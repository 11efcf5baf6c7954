"""`${VAR}` in a path whose value is a secret: kept as written wherever the path goes, expanded where it is opened.

So neither the journal, nor MLflow, nor a message, nor a worker's job holds the secret; only the environment does.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.errors import InputError, TuneError

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}\n]*))?\}")
_SECRET_NAME = re.compile(r"(?i)password|passwd|passphrase|secret|token|credential|api_?key|access_?key|private_?key")
_SECRET_VALUE = re.compile(r"(?i)://[^/@\s]*:[^/@\s]*@|[?&](?:password|passwd|token|secret|sig|signature)[^=&]*=")


def is_secret(name: str, value: str) -> bool:
    """Whether a variable of the environment looks like a secret: by its name, or as an address with credentials."""
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


def holds_reference(path: str | Path) -> bool:
    """Whether there is a `${VAR}` left in it."""
    return _REFERENCE.search(str(path)) is not None


def expanded(text: str) -> str:
    """The text with each `${VAR}` and `${VAR:-default}` read from the environment.

    Raises:
        InputError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = os.environ.get(name) or default
        if found is None:
            raise InputError(
                f"{text} needs the environment variable {name}, whose value is not stored; set it to what it was when "
                "the study began, on every machine of the cluster"
            )
        return str(found)

    return _REFERENCE.sub(value, text)


def expanded_path(path: str | Path) -> Path:
    """The path to open: `${VAR}` and `~` replaced.

    Raises:
        InputError: a variable is not set.
    """
    return Path(expanded(str(path))).expanduser()


def absolute(path: Path) -> Path:
    """The path for a process that stands in another folder; a `${VAR}` stays.

    Raises:
        InputError: a variable is not set.
    """
    if not holds_reference(path):
        return path.resolve()
    return path if expanded_path(path).is_absolute() else Path.cwd() / path


@contextmanager
def secrets_hidden(*paths: str | Path | None) -> Iterator[None]:
    """Let errors name these paths as they are written, not as they are expanded."""
    try:
        yield
    except TuneError as error:
        message = str(error)
        for path in paths:
            if path is not None and holds_reference(path):
                message = message.replace(str(expanded_path(path)), str(path))
        if message == str(error):
            raise
        raise type(error)(message) from None  # the former has the secret

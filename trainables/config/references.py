"""Paths with a secret `${VAR}`: stored and passed on as written, expanded only when opened.

So the secret is only in the environment, not in the journal, MLflow, messages, or a worker's job.
"""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trainables.errors import InputError, TuneError

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}\n]*))?\}")
_SECRET_NAME = re.compile(r"(?i)password|passwd|passphrase|secret|token|credential|api_?key|access_?key|private_?key")
_SECRET_VALUE = re.compile(r"(?i)://[^/@\s]*:[^/@\s]*@|[?&](?:password|passwd|token|secret|sig|signature)[^=&]*=")
_IN_ADDRESS = re.compile(r"(://[^/@\s:]*:)[^/@\s]+@")
_IN_QUERY = re.compile(r"(?i)([?&](?:password|passwd|token|secret|sig|signature)[^=&\s]*=)[^&\s]+")
_SHORTEST_SECRET = 4
"""Characters; shorter ones occur in too many words to be replaced in a text."""
_NO_SECRETS = {"true", "false", "none", "null"}
"""Values of switches whose names look like secrets, for example `TOKENIZERS_PARALLELISM`."""


def is_secret(name: str, value: str) -> bool:
    """Whether an environment variable looks like a secret: by its name, or as a URL with credentials."""
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


def without_secrets(text: str, addresses: Collection[str] = ()) -> str:
    """The text made safe for a log: `${NAME}` for each secret in the environment, `***` for passwords in URLs.

    Args:
        text: any text, for example a traceback.
        addresses: URLs whose passwords are also replaced, anywhere in the text.
    """
    secrets = {value: f"${{{name}}}" for name, value in os.environ.items() if is_secret(name, value)}
    secrets |= dict.fromkeys((word for address in (*addresses, *secrets) for word in _passwords(address)), "***")
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET and secret.lower() not in _NO_SECRETS:
            text = text.replace(secret, secrets[secret])
    return _IN_QUERY.sub(r"\g<1>***", _IN_ADDRESS.sub(r"\g<1>***@", text))


def _passwords(address: str) -> set[str]:
    """The password in a URL, both as written and unquoted."""
    try:
        password = urlsplit(address).password
    except ValueError:  # not a URL
        return set()
    return {password, unquote(password)} if password else set()


def holds_reference(path: str | Path) -> bool:
    """Whether the path contains a `${VAR}`."""
    return _REFERENCE.search(str(path)) is not None


def expanded(text: str) -> str:
    """The text with each `${VAR}` and `${VAR:-default}` replaced from the environment.

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
    """The path made absolute, for a process in another working directory; a `${VAR}` is kept.

    Raises:
        InputError: a variable is not set.
    """
    if not holds_reference(path):
        return path.resolve()
    return path if expanded_path(path).is_absolute() else Path.cwd() / path


@contextmanager
def secrets_hidden(*paths: str | Path | None) -> Iterator[None]:
    """Make errors show these paths as written, not expanded."""
    try:
        yield
    except TuneError as error:
        message = str(error)
        for path in paths:
            if path is not None and holds_reference(path):
                message = message.replace(str(expanded_path(path)), str(path))
        if message == str(error):
            raise
        raise type(error)(message) from None  # the original error contains the secret

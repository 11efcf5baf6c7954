"""Ray authentication: a new token for each private Ray, or the token of an existing cluster."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from trainables.errors import InputError

Mode = Literal["token", "disabled"]

LOOPBACK = "127.0.0.1"

_PROBE_SECONDS = 60.0
_PROBE = """
import sys
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import AuthenticationTokenLoader, GcsClient
from ray.exceptions import AuthenticationError

address, mode = sys.argv[1:]
try:
    has_token = mode == "disabled" or AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
except AuthenticationError:
    has_token = False
if not has_token:
    sys.exit(4)
try:
    GcsClient(address=canonicalize_bootstrap_address(address, None))
except AuthenticationError:
    sys.exit(3)
"""
"""Asks the cluster for its identity. A separate process, because Ray aborts a process without a token that it needs."""
_ANSWERS = {0: "accepted", 3: "refused", 4: "no token"}


@contextmanager
def fresh_token() -> Iterator[None]:
    """Ray's token mode with a new random token; the environment is restored afterwards."""
    with ray_environment("token", RAY_AUTH_TOKEN=secrets.token_hex(32)):
        yield


@contextmanager
def ray_environment(mode: Mode, **variables: str) -> Iterator[None]:
    """Set the environment of this process and of everything that Ray starts from it, until the end of the block."""
    wanted = {"RAY_AUTH_MODE": mode, **variables}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    _read_again()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        _read_again()


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let `ray.init(_node_ip_address=LOOPBACK)` bind every port of a new Ray to the loopback interface.

    Ray does so if the node's address is 127.0.0.1, but replaces that address with the machine's own unless its cluster
    support is off, as it is on macOS and Windows. Ray reads that setting on import, hence the assignment here.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _read_again() -> None:
    """Make Ray reread the environment: it reads it on import and keeps the first token it finds."""
    from ray import _raylet

    raylet: Any = _raylet  # its stubs leave these two out
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def cluster_mode(address: str) -> Mode:
    """Whether the cluster at `address` requires a token. If it does, it accepts this process's token.

    Raises:
        InputError: the cluster rejects the token, or there is no token.
        ConnectionError: no answer.
    """
    if _ask(address, "disabled") == "accepted":
        return "disabled"
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        raise InputError(
            f"the Ray cluster at {address} requires a token, but RAY_AUTH_MODE is {os.environ['RAY_AUTH_MODE']!r}; "
            "unset it, or set it to token"
        )
    answer = _ask(address, "token")
    if answer == "no token":
        raise InputError(f"the Ray cluster at {address} requires a token, but {_source()} has none. {_REMEDY}")
    if answer == "refused":
        raise InputError(f"the Ray cluster at {address} rejects the token in {_source()}. {_REMEDY}")
    return "token"


_REMEDY = (
    "`ray get-auth-token` on the cluster's head node prints the right one: put it into RAY_AUTH_TOKEN, into the file "
    "that RAY_AUTH_TOKEN_PATH names, or into ~/.ray/auth_token"
)


def _source() -> str:
    """Where Ray takes the token from, in Ray's order of precedence."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return f"RAY_AUTH_TOKEN_PATH ({path})"
    return "~/.ray/auth_token"


def _ask(address: str, mode: Mode) -> str:
    try:
        process = subprocess.run(
            [sys.executable, "-c", _PROBE, address, mode],
            env={**os.environ, "RAY_AUTH_MODE": mode},
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ConnectionError(f"no answer within {_PROBE_SECONDS:.0f} s") from error
    if process.returncode not in _ANSWERS:
        raise ConnectionError((process.stderr.strip() or "no answer").splitlines()[-1])
    return _ANSWERS[process.returncode]

"""`ui`: MLflow's web interface for the studies of a storage folder."""

import os
import socket
import subprocess
import sys
from typing import Annotated

import typer

from cli.display.output import say
from cli.options import Storage, TrackingUri
from trainables.errors import InputError, StudyFailedError
from tuning.storage.paths import DEFAULT_STORAGE

_HOST = "127.0.0.1"
"""Local only: MLflow does not ask for a password."""


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
) -> None:
    """Serve MLflow's web interface on 127.0.0.1 until Ctrl-C."""
    from tuning.tracking.state import masked, resolve_tracking_uri

    uri = resolve_tracking_uri(tracking_uri, storage)
    if uri.startswith(("http://", "https://")):
        say(f"the tracking server has its own interface: {masked(uri)}")
        return
    _check_port(port)
    say(f"MLflow over {masked(uri)}: http://{_HOST}:{port} (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", _HOST, "--port", str(port)]
    environment = {
        **os.environ,
        # Not --backend-store-uri: every user of this machine can see the command line and a password in it.
        "MLFLOW_BACKEND_STORE_URI": uri,
        # The job runner would start nine more processes of 235 MB each, for features not used here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    code = subprocess.run(command, check=False, env=environment).returncode
    if code != 0:
        raise StudyFailedError(f"MLflow's interface ended with exit code {code}; see its output above")


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror}); give another, for example --port {port + 1}"
            ) from error

"""Checks that MLflow answers before anything expensive starts. Creates a missing SQLite database."""

import os
import secrets
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

from trainables.errors import InputError
from trainables.permissions import file_mode, make_folder
from trainables.safe_files import open_new, remove_file
from tuning.tracking.mlflow_store import Store, TrackingError
from tuning.tracking.state import masked

_ANSWER_SECONDS = 10.0
"""Time limit for a server's answer before a study starts."""
_CREATE_SECONDS = 60.0
"""Time limit for a new SQLite database; creating one takes 1.4 s on two idle cores."""
ARTIFACTS = "mlartifacts"
"""Folder for models and documents, next to a database."""
_SERVERS = ("http://", "https://", "postgresql", "mysql", "mssql", "databricks")


def check_reachable(uri: str) -> None:
    """Send MLflow a small request. A SQLite database that is locked at the moment is accepted: the mirror retries.

    Raises:
        InputError: no answer, or not MLflow's; with the address and a fix.
    """
    if uri.startswith("sqlite:"):
        problem = _problem_with_file(uri) or _within(_CREATE_SECONDS, lambda: _ping_file(uri))
    elif uri.startswith(_SERVERS):
        problem = _within(_ANSWER_SECONDS, Store(uri).ping)
    else:
        problem = "it is neither a server nor a database"
    if problem is not None:
        raise InputError(
            f"MLflow at {masked(uri) or 'an empty address'} cannot be used: {problem}. Start the server, or set "
            "another address with --tracking-uri or MLFLOW_TRACKING_URI, for example http://127.0.0.1:5000 or "
            "sqlite:///mlflow.db"
        )


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite address; None if it names another database, memory, or a file with SQLite's options."""
    path = urlsplit(uri).path.removeprefix("/")
    if not uri.startswith("sqlite:") or not path or path.startswith((":", "file:")):
        return None
    return Path(path)


def ensure_database(uri: str) -> None:
    """Create the SQLite database of `uri` atomically, unless it exists.

    MLflow builds its tables in 80 steps. If killed in between, it leaves a half-built file that it refuses from then
    on. So the database is built elsewhere and moved into place in one step.

    Raises:
        TrackingError: MLflow could not build it.
        OSError: the file cannot be created in its folder.
    """
    path = sqlite_file(uri)
    if path is None or path.exists():
        return
    make_folder(path.parent)
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary) / "mlflow.db"
        Store(f"sqlite:///{built}").ping()
        # A copy, because this process keeps the built file open, and closing it would drop our own locks.
        arriving = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with open(built, "rb") as content, open_new(arriving, file_mode(path.parent)) as file:
                shutil.copyfileobj(content, file)
            with suppress(FileExistsError):  # another study was faster
                os.link(arriving, path)
        finally:
            remove_file(arriving, path.parent, missing_ok=True)
    make_folder(path.with_name(ARTIFACTS))  # private like the database; MLflow would use the umask


def _ping_file(uri: str) -> None:
    try:
        ensure_database(uri)
    except OSError as error:
        raise TrackingError(f"the database cannot be created ({error})") from error
    path = sqlite_file(uri)
    if path is None or not _is_locked(path):
        Store(uri).ping()


def _is_locked(path: Path) -> bool:
    try:
        _read(path)
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    return False


def _problem_with_file(uri: str) -> str | None:
    """What is wrong with the file, or None. Faster than MLflow, which tries ten times over 100 s."""
    path = sqlite_file(uri)
    if path is None or not path.exists():
        return None
    try:
        _read(path)
    except sqlite3.OperationalError as error:
        return None if "locked" in str(error) else f"the file cannot be read ({error})"
    except sqlite3.DatabaseError as error:
        return f"the file is not a SQLite database ({error})"
    return None


def _read(path: Path) -> None:
    """Read the schema. Not in read-only mode: the first reader after a kill mid-transaction must roll it back."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=1.0)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _within(seconds: float, action: Callable[[], None]) -> str | None:
    """Run `action` in a separate thread; None if it succeeded in time, else what went wrong."""
    problems: list[str] = []

    def run() -> None:
        try:
            action()
        except TrackingError as error:
            problems.append(str(error))

    thread = threading.Thread(target=run, name="mlflow-check", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return f"no answer within {seconds:.0f} s"
    return problems[0] if problems else None

"""Is MLflow there? Asked once, before anything expensive starts."""

import threading
from collections.abc import Callable

from trainables.errors import InputError
from tuning.tracking.store import Store, TrackingError
from tuning.tracking_state import masked

_ANSWER_SECONDS = 10.0
"""Within this a server has to answer before a study starts."""
_CREATE_SECONDS = 60.0
"""Within this a new SQLite database is ready; 1.4 s on two idle cores."""
_REMOTE = ("http://", "https://", "postgresql", "mysql", "mssql", "databricks")


def check_reachable(uri: str) -> None:
    """Ask MLflow for something small, before anything expensive starts. A new SQLite database is created.

    Raises:
        InputError: no answer, or none that MLflow would give; says the address and what to do.
    """
    if uri.startswith("sqlite:"):
        limit = _CREATE_SECONDS
    elif uri.startswith(("http://", "https://", "postgresql", "mysql", "mssql", "databricks")):
        limit = _ANSWER_SECONDS
    else:
        raise InputError(
            f"MLflow address {masked(uri)} is neither a server nor a database; give for example "
            "http://127.0.0.1:5000 or sqlite:///mlflow.db"
        )
    problem = _within(limit, lambda: Store(uri).ping())
    if problem is not None:
        raise InputError(
            f"MLflow at {masked(uri)} cannot be used: {problem}. Start the server, or give another address with "
            "--tracking-uri or MLFLOW_TRACKING_URI (for example sqlite:///mlflow.db)"
        )


def _within(seconds: float, action: Callable[[], None]) -> str | None:
    """Run `action` in a thread of its own; None when it succeeded in time, else what went wrong."""
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

"""An MLflow that cannot be used is refused before a study starts."""

import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient

from trainables.errors import InputError
from tuning.tracking.preflight import check_reachable, sqlite_file


def test_a_new_database_is_made_with_its_folders(tmp_path):
    path = tmp_path / "some" / "where" / "mlflow.db"
    check_reachable(f"sqlite:///{path}")
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"mlartifacts": 0o700, "mlflow.db": 0o600}
    assert MlflowClient(f"sqlite:///{path}").search_experiments()[0].name == "Default"


def test_a_database_that_is_there_stays(uri):
    MlflowClient(uri).create_experiment("mine")
    check_reachable(uri)
    assert MlflowClient(uri).get_experiment_by_name("mine") is not None


@pytest.mark.parametrize("address", ["", "mlruns", "file:///tmp/mlruns", "ftp://host"])
def test_what_is_no_address(address):
    with pytest.raises(InputError, match=r"neither a server nor a database.*sqlite:///mlflow\.db"):
        check_reachable(address)


def test_a_server_that_is_not_there():
    began = time.monotonic()
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9.*refused.*--tracking-uri"):
        check_reachable("http://127.0.0.1:9")
    assert time.monotonic() - began < 5


def test_a_password_is_not_repeated():
    with pytest.raises(InputError) as caught:
        check_reachable("http://me:hush@127.0.0.1:9")
    assert "hush" not in str(caught.value)
    assert "me:***@127.0.0.1:9" in str(caught.value)


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(InputError, match="not a SQLite database"):
        check_reachable(f"sqlite:///{path}")
    assert path.read_text().startswith("not a database")


def test_a_folder_where_nothing_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be created"):
        check_reachable(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")


def test_a_database_of_another_mlflow_version(tmp_path, uri):
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0a8213491aaa'")
    connection.close()
    with pytest.raises(InputError, match="out-of-date"):
        check_reachable(uri)


def test_a_locked_database_will_do(tmp_path, uri):
    blocker = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    check_reachable(uri)
    blocker.close()


_DIE_IN_MID_TRANSACTION = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size = 1")  # pages reach the file before the transaction ends
connection.executemany("INSERT INTO experiment_tags VALUES (?, ?, 0)", [(str(n), "x" * 1000) for n in range(200)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_database_whose_writer_was_killed_is_repaired(tmp_path, uri):
    path = tmp_path / "mlflow.db"
    killed = subprocess.run([sys.executable, "-c", _DIE_IN_MID_TRANSACTION, str(path)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    journal = tmp_path / "mlflow.db-journal"
    assert journal.exists()
    check_reachable(uri)
    assert not journal.exists()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM experiment_tags").fetchone() == (0,)
    connection.close()


def test_a_read_only_database_will_do(tmp_path, uri):
    check_reachable(f"sqlite:///file:{tmp_path / 'mlflow.db'}?mode=ro&uri=true")


def test_sqlite_file(tmp_path):
    assert str(sqlite_file("sqlite:///mlflow.db")) == "mlflow.db"
    assert str(sqlite_file("sqlite:////data/mlflow.db")) == "/data/mlflow.db"
    assert sqlite_file("sqlite://") is None
    assert sqlite_file("sqlite:///:memory:") is None
    assert sqlite_file("http://host/path") is None


@pytest.mark.slow
def test_killed_while_the_database_is_made(tmp_path):
    """A plain start of MLflow leaves a file that it then refuses for ever."""
    script = (
        "import sys; from tuning.tracking import check_reachable; print('go', flush=True); check_reachable(sys.argv[1])"
    )
    for attempt in range(4):
        uri = f"sqlite:///{tmp_path / str(attempt) / 'mlflow.db'}"
        process = subprocess.Popen([sys.executable, "-c", script, uri], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.4 * attempt)
        process.kill()
        process.communicate()
        check_reachable(uri)

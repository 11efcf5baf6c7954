"""Where MLflow is, and what is remembered of it."""

from pathlib import Path

import pytest

from trainables.errors import InputError
from tuning.storage.paths import StudyFolder
from tuning.tracking.state import TrackingState, masked, read_run_ids, read_state, resolve_tracking_uri, write_state

RUNS = {0: f"{10:032x}", 12: f"{11:032x}"}


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "studies", "tiny")
    folder.path.mkdir(parents=True)
    return folder


def state(**changes: object) -> TrackingState:
    return TrackingState.model_validate(
        {"tracking_uri": "http://host", "experiment_id": "1", "parent_run_id": f"{1:032x}"} | changes
    )


def test_state_round_trip(folder):
    assert read_state(folder) is None
    written = state(offset=7, runs=RUNS, documents={"study.yaml": "00"})
    write_state(folder, written)
    assert read_state(folder) == written
    assert read_run_ids(folder) == RUNS
    assert [file.name for file in folder.path.iterdir()] == ["tracking.json"]


def test_a_state_cut_short_counts_as_none(folder):
    write_state(folder, state())
    folder.tracking.write_bytes(folder.tracking.read_bytes()[:20])
    assert read_state(folder) is None
    assert read_run_ids(folder) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"{" * 100_000,
        state(offset=7).model_dump_json().replace("7", "-7").encode(),
        state().model_dump_json().replace('"1"', '"../1"').encode(),
        state().model_dump_json().replace(f"{1:032x}", "../../x").encode(),
    ],
    ids=["empty", "null", "list", "not text", "nested", "negative", "experiment that is a path", "run that is a path"],
)
def test_a_state_that_is_not_understood_counts_as_none(folder, content):
    folder.tracking.write_bytes(content)
    assert read_state(folder) is None


def test_a_state_that_is_a_link_is_neither_read_nor_written(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(state().model_dump_json())
    before = elsewhere.read_bytes()
    folder.tracking.symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link"):
        read_state(folder)
    with pytest.raises(InputError, match="is a link"):
        write_state(folder, state(offset=9))
    assert elsewhere.read_bytes() == before


def test_address_by_precedence(folder, monkeypatch):
    default = f"sqlite:///{folder.storage.parent}/mlflow.db"
    assert resolve_tracking_uri(None, folder.storage, folder) == default
    write_state(folder, state())
    assert resolve_tracking_uri(None, folder.storage, folder) == "http://host"
    assert resolve_tracking_uri(None, folder.storage) == default
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert resolve_tracking_uri(None, folder.storage, folder) == "http://environment"
    assert resolve_tracking_uri("http://option", folder.storage, folder) == "http://option"


def test_the_default_lies_beside_a_relative_storage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_tracking_uri(None, Path("studies")) == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_password_has_to_be_given_again(folder):
    write_state(folder, state(tracking_uri=masked("https://me:hush@host")))
    with pytest.raises(InputError, match=r"me:\*\*\*@host.*--tracking-uri"):
        resolve_tracking_uri(None, folder.storage, folder)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////abs/mlflow.db", "sqlite:////abs/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("https://me:hush@host/x", "https://me:***@host/x"),
        ("https://me@host/x", "https://me@host/x"),
        ("postgresql://u:p%40q@db:5432/ml?sslmode=require", "postgresql://u:***@db:5432/ml?sslmode=require"),
        ("postgresql://db/ml?user=u&password=hush", "postgresql://db/ml?user=u&password=***"),
    ],
)
def test_masked(uri, expected):
    assert masked(uri) == expected

"""A tracking server that means harm: whatever it answers, nothing is written outside the folder for its weights."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from trainables.errors import InputError
from tuning.tracking.mlflow_store import Store, TrackingError
from tuning.tracking.registry import resolve_model_uri

_API = "/api/2.0/mlflow/"


class _Server:
    """Answers MLflow's REST calls with what a test puts into `answers`, by the end of the path."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                found = [answer for end, answer in outer.answers.items() if path.endswith(end)]
                content = found[0] if found else {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": path}
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer  # noqa: N815  # names that http.server asks for

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def offers(self, version: object = "1", source: str = "mlflow-artifacts:/1/models/m-1/artifacts") -> None:
        """A registered model `tiny`, its alias `champion`, and where its files are."""
        self.answers["registered-models/alias"] = {"model_version": {"name": "tiny", "version": version}}
        self.answers["registered-models/get"] = {"registered_model": {"name": "tiny"}}
        self.answers["model-versions/get-download-uri"] = {"artifact_uri": source}
        self.answers["weights.pt"] = b"weights"
        self.answers["mlflow-artifacts/artifacts"] = {"files": []}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server()
    yield server
    server.close()


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def test_an_honest_server(server: _Server, tmp_path: Path) -> None:
    server.offers()
    path = resolve_model_uri("models:/tiny@champion", server.uri, tmp_path / "registered" / "tiny-champion")
    assert path == tmp_path / "registered" / "tiny-champion" / "1" / "weights.pt"
    assert path.read_bytes() == b"weights"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("link", ["registered", "registered/tiny", "registered/tiny/1", "registered/tiny/1/weights.pt"])
def test_a_link_on_the_way_to_the_weights(server: _Server, tmp_path: Path, link: str) -> None:
    server.offers()
    (tmp_path / "outside").mkdir()
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="is a link to"):
        resolve_model_uri("models:/tiny@champion", server.uri, tmp_path / "registered" / "tiny")
    assert _files(tmp_path / "outside") == set()


@pytest.mark.parametrize("version", ["../../x", "..", "/tmp/x", "1/../../x", "", "1\n", "\x1b[31m1", "٣", "9" * 40])
def test_a_version_that_is_a_path(server: _Server, tmp_path: Path, version: str) -> None:
    server.offers(version)
    with pytest.raises(InputError, match="model version") as raised:
        resolve_model_uri("models:/tiny@champion", server.uri, tmp_path / "a" / "b" / "registered")
    assert "\x1b" not in str(raised.value)
    assert _files(tmp_path) == set()


@pytest.mark.parametrize(
    "listed", ["../../../../evil", "/tmp/evil-of-a-server", "extra_files/weights.pt/../../../../evil", "..%2f..%2fevil"]
)
def test_a_listing_with_paths_that_lead_elsewhere(server: _Server, tmp_path: Path, listed: str) -> None:
    server.offers()
    server.answers["mlflow-artifacts/artifacts"] = {"files": [{"path": listed, "is_dir": False, "file_size": 1}]}
    server.answers["evil"] = b"evil"
    destination = tmp_path / "a" / "b" / "c" / "d" / "registered"
    try:
        path = resolve_model_uri("models:/tiny@champion", server.uri, destination)
    except InputError:
        assert _files(tmp_path) == set()
    else:
        assert _files(tmp_path) == {str(path.relative_to(tmp_path))}
        assert path.read_bytes() == b"weights"
    assert not Path("/tmp/evil-of-a-server").exists()


@pytest.mark.parametrize(
    "source", ["../../x", "file:///etc", "models:/tiny/1", "runs:/../../x", "mlflow-artifacts:/../../x"]
)
def test_a_source_that_leads_elsewhere_gives_no_weights(server: _Server, tmp_path: Path, source: str) -> None:
    server.offers(source=source)
    del server.answers["weights.pt"]
    with pytest.raises(InputError, match="has no weights for"):
        resolve_model_uri("models:/tiny@champion", server.uri, tmp_path / "registered")
    assert _files(tmp_path) == set()


_RUN = {"info": {"run_id": "../../x", "experiment_id": "1", "start_time": 1}, "data": {}}
_CALLS: list[tuple[str, dict[str, Any], Callable[[Store], object]]] = [
    (
        "experiment id",
        {"experiments/get-by-name": {"experiment": {"experiment_id": "../x", "lifecycle_stage": "active"}}},
        lambda store: store.experiment("tiny", None),
    ),
    ("run id", {"runs/create": {"run": _RUN}}, lambda store: store.create_run("1", "tiny", 0.0, {})),
    ("run id", {"runs/search": {"runs": [_RUN]}}, lambda store: store.find_runs("1", "study")),
    (
        "model id",
        {"logged-models/search": {"models": [{"info": {"model_id": "../x", "status": "LOGGED_MODEL_READY"}}]}},
        lambda store: store.find_model("1", "0" * 32),
    ),
]


@pytest.mark.parametrize(("what", "answers", "call"), _CALLS, ids=lambda value: value if isinstance(value, str) else "")
def test_ids_that_are_none(
    server: _Server, what: str, answers: dict[str, Any], call: Callable[[Store], object]
) -> None:
    server.answers = answers
    with pytest.raises(TrackingError, match=f"the {what} '../"):
        call(Store(server.uri))

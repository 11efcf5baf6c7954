from pathlib import Path

import pytest

from trainables.config.references import absolute, expanded, expanded_path, is_secret, secrets_hidden
from trainables.errors import DataError, InputError


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HOME", "/home/me", False),
        ("PHOTOS_ROOT", "/data/photos", False),
        ("KEYBOARD", "de", False),
        ("SHARE_PASSWORD", "hunter2", True),
        ("hf_token", "x", True),
        ("AWS_SECRET_ACCESS_KEY", "x", True),
        ("MOUNT", "smb://me:hunter2@host/share", True),
        ("MOUNT", "smb://me@host/share", False),
        ("MOUNT", "https://host/share?sig=abc", True),
    ],
)
def test_what_looks_like_a_secret(name: str, value: str, secret: bool) -> None:
    assert is_secret(name, value) is secret


def test_a_reference_is_expanded_where_it_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("A_TOKEN", str(tmp_path))
    monkeypatch.setenv("EMPTY", "")
    assert expanded("${A_TOKEN}/x/${EMPTY:-y}") == f"{tmp_path}/x/y"
    assert expanded_path(Path("~/${EMPTY:-y}")) == Path.home() / "y"
    assert absolute(Path("${A_TOKEN}/x")) == Path("${A_TOKEN}/x")
    assert absolute(Path("${EMPTY:-y}/x")) == Path.cwd() / "${EMPTY:-y}/x"
    monkeypatch.delenv("A_TOKEN")
    with pytest.raises(InputError, match=r"\$\{A_TOKEN\}/x needs the environment variable A_TOKEN"):
        expanded("${A_TOKEN}/x")


def test_an_error_names_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "hunter2")
    with pytest.raises(DataError) as raised, secrets_hidden(None, Path("/mnt/${A_TOKEN}")):
        raise DataError("/mnt/hunter2/train/ants is empty")
    assert str(raised.value) == "/mnt/${A_TOKEN}/train/ants is empty"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__

import os
from pathlib import Path

import pytest

from trainables.errors import InputError
from tuning.storage.catalog import find_study, require_free_name, study_names


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    for name in ("mnist", "mnist-2", "photos"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.jsonl").touch()
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_a_study_is_a_folder_with_a_journal(storage: Path) -> None:
    assert study_names(storage) == ["mnist", "mnist-2", "photos"]
    assert find_study(storage, "mnist").journal == storage / "mnist" / "journal.jsonl"
    assert study_names(storage / "nowhere") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "did you mean mnist or mnist-2"),
        ("zzz", "there are: mnist, mnist-2, photos"),
        ("notes", "is not a study"),
        ("..", "no study '..'"),
        ("", "no study ''"),
        ("../x", "no study '../x'"),
    ],
)
def test_any_other_name_is_refused_with_what_there_is(storage: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_study(storage, name)


def test_a_storage_that_cannot_hold_a_study_is_refused(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="journal.jsonl is not a folder"):
        require_free_name(storage / "mnist" / "journal.jsonl", "new")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="cannot be written to"):
        require_free_name(storage / "not" / "yet", "new")


def test_a_name_is_free_where_nothing_has_it(storage: Path) -> None:
    require_free_name(storage, "new")
    with pytest.raises(InputError, match="tune-cli resume mnist"):
        require_free_name(storage, "mnist")
    with pytest.raises(InputError, match="is not a study"):
        require_free_name(storage, "notes")

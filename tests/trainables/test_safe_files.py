"""Nothing outside its root is deleted or written, whatever links lie about."""

import re
from pathlib import Path

import pytest

import trainables
from trainables.errors import UnsafePathError
from trainables.safe_files import open_new, remove_file, remove_tree, replace_file, writing_beside


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("precious")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def test_a_tree_is_deleted_and_the_targets_of_links_in_it_are_not(root: Path, outside: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "folder").symlink_to(outside)
    (root / "a" / "b" / "file").symlink_to(outside / "precious")
    remove_tree(root / "a", root)
    assert list(root.iterdir()) == []
    assert (outside / "precious").read_text() == "precious"


@pytest.mark.parametrize("below", [".", "..", "../outside", "a/../../outside"])
def test_what_is_not_inside_the_root_is_refused(root: Path, outside: Path, below: str) -> None:
    (root / "a").mkdir()
    with pytest.raises(UnsafePathError, match="is not inside"):
        remove_tree(root / below, root)
    with pytest.raises(UnsafePathError, match="is not inside"):
        remove_file(root / below / "precious" / "..", root)
    assert (outside / "precious").exists()


def test_a_link_is_neither_deleted_nor_followed(root: Path, outside: Path) -> None:
    (root / "tree").symlink_to(outside)
    (root / "file").symlink_to(outside / "precious")
    with pytest.raises(UnsafePathError, match="link"):
        remove_tree(root / "tree", root)
    with pytest.raises(UnsafePathError, match="link"):
        remove_file(root / "file", root)
    with pytest.raises(UnsafePathError, match="'tree' in it is a link"):
        remove_file(root / "tree" / "precious", root)
    assert (outside / "precious").exists()


def test_a_root_that_is_reached_through_a_link_is_the_users_choice(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    (root / "a").write_text("")
    remove_file(tmp_path / "alias" / "a", tmp_path / "alias")
    assert not (root / "a").exists()


def test_what_is_missing(root: Path) -> None:
    for missing in (root / "a", root / "a" / "b"):
        remove_file(missing, root, missing_ok=True)
        remove_tree(missing, root, missing_ok=True)
        with pytest.raises(FileNotFoundError):
            remove_tree(missing, root)


def test_a_file_is_replaced_as_a_whole_and_is_private(root: Path) -> None:
    replace_file(root / "a", b"one")
    replace_file(root / "a", b"two")
    assert (root / "a").read_bytes() == b"two"
    assert (root / "a").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ZeroDivisionError), writing_beside(root / "a") as file:
        file.write(b"three")
        raise ZeroDivisionError
    assert [(path.name, path.read_bytes()) for path in root.iterdir()] == [("a", b"two")]


def test_a_link_at_the_target_is_refused(root: Path, outside: Path) -> None:
    (root / "a").symlink_to(outside / "precious")
    (root / "nowhere").symlink_to(root / "gone")
    for name in ("a", "nowhere"):
        with pytest.raises(UnsafePathError, match="is a link to"):
            replace_file(root / name, b"mine")
        with pytest.raises(FileExistsError):
            open_new(root / name)
    assert (outside / "precious").read_text() == "precious"
    assert not (root / "gone").exists()


def test_the_workers_code_deletes_in_no_other_way() -> None:
    """A new `rmtree` or `unlink` is a way past the checks above."""
    package = Path(trainables.__file__).parent
    calls = re.compile(r"\b(rmtree|unlink|rmdir|os\.remove|removedirs)\(")
    found = {path.name for path in package.rglob("*.py") if calls.search(path.read_text())}
    assert found == {"safe_files.py", "cache_folder.py"}  # the latter's rmdir is of a folder it has just made

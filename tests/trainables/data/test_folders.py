import os
from pathlib import Path

import pytest

from trainables.config import DataConfig
from trainables.data.dataset_split import FilePart
from trainables.data.folders import sealed_files, training_files
from trainables.errors import DataError


def names(part: FilePart) -> set[str]:
    return {file.name for file in part.files}


def test_without_test_folder_a_stratified_share_is_sealed(two_classes: DataConfig) -> None:
    training, sealed = training_files(two_classes), sealed_files(two_classes)
    assert training.classes == sealed.classes == ("ants", "bees")
    assert not names(training) & names(sealed)
    assert len(training.files) == 20
    assert sorted(file.label for file in sealed.files) == [0, 0, 1, 1, 1]


def test_with_test_folder_nothing_is_taken_from_train(make_folder) -> None:
    config = make_folder({"train/ants": 4, "train/bees": 4, "test/ants": 2, "test/bees": 3, "val/ants": 1})
    assert len(training_files(config).files) == 9
    assert {name.split("/")[0] for name in names(training_files(config))} == {"train", "val"}
    assert {name.split("/")[0] for name in names(sealed_files(config))} == {"test"}


def test_nested_folders_are_searched_and_other_files_passed_over(two_classes: DataConfig, save_photo) -> None:
    root = two_classes.root
    assert root is not None
    save_photo(root / "train/ants/deeper/x.JPG", seed=1)
    (root / "train/ants/notes.txt").write_text("hello")
    (root / "train/ants/._000.jpg").write_text("what macOS leaves behind")
    (root / "train/.hidden").mkdir()
    everything = names(training_files(two_classes)) | names(sealed_files(two_classes))
    assert "train/ants/deeper/x.JPG" in everything
    assert len(everything) == 26


def test_identity_notices_added_changed_and_removed_files(two_classes: DataConfig, save_photo) -> None:
    root = two_classes.root
    assert root is not None
    file = root / training_files(two_classes).files[0].name
    identities = [training_files(two_classes).identity]
    os.utime(file, ns=(0, 0))
    identities.append(training_files(two_classes).identity)
    file.write_bytes(file.read_bytes() + b"\0")
    os.utime(file, ns=(0, 0))
    identities.append(training_files(two_classes).identity)
    file.unlink()
    identities.append(training_files(two_classes).identity)
    save_photo(root / "train/ants/new.jpg", seed=5)
    identities.append(training_files(two_classes).identity)
    assert len(set(identities)) == len(identities)


def test_a_link_to_nowhere_stays_in_the_list(two_classes: DataConfig) -> None:
    root = two_classes.root
    assert root is not None
    (root / "train/ants/gone.jpg").symlink_to("nowhere")
    everything = names(training_files(two_classes)) | names(sealed_files(two_classes))
    assert "train/ants/gone.jpg" in everything


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, r"has no train/ folder with one folder per class \(found: nothing\)"),
        ({"ants": 3, "bees": 3}, r"has no train/ folder with one folder per class \(found: ants, bees\)"),
        ({"train": 3}, "contains no folders; it should contain one folder of images per class"),
        ({"train/ants": 5}, "contains only one class, 'ants'"),
        ({"train/ants": 0, "train/bees": 0}, "contains no images"),
        ({"train/ants": 5, "train/bees": 0}, r"train/bees contains no images; add some or remove the folder"),
        ({"train/ants": 5, "train/bees": 1}, "class 'bees' has too few images for the test split: 1"),
        (
            {"train/ants": 5, "train/bees": 5, "val/wasps": 2},
            "contains class 'wasps', which .*train lacks; classes there: ants, bees",
        ),
        ({"train/ants": 5, "train/bees": 5, "test/wasps": 2}, "contains class 'wasps', which .*train lacks"),
        ({"train/ants": 5, "train/bees": 5, "val/ants": 0}, "val contains no images; remove it"),
    ],
)
def test_unusable_folders(make_folder, counts: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        training_files(make_folder(counts))


def test_root_that_is_missing(tmp_path: Path) -> None:
    config = DataConfig(dataset="image_folder", root=tmp_path / "nothing", image_size=8)
    with pytest.raises(DataError, match="is not a folder; it should contain train/CLASS/"):
        training_files(config)


def test_root_may_be_the_working_folder(two_classes: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert two_classes.root is not None
    monkeypatch.chdir(two_classes.root)
    here = two_classes.model_copy(update={"root": Path(".")})
    assert training_files(here).files == training_files(two_classes).files


def test_links_in_a_circle_end(two_classes: DataConfig) -> None:
    assert two_classes.root is not None
    before = training_files(two_classes).files
    (two_classes.root / "train/ants/again").symlink_to(two_classes.root / "train")
    assert training_files(two_classes).files == before


def test_a_class_may_be_a_link(two_classes: DataConfig, tmp_path: Path) -> None:
    assert two_classes.root is not None
    before = training_files(two_classes).files
    (two_classes.root / "train/ants").rename(tmp_path / "elsewhere")
    (two_classes.root / "train/ants").symlink_to(tmp_path / "elsewhere")
    assert training_files(two_classes).files == before

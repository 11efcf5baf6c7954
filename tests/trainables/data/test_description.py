import shutil

from trainables.config import DataConfig
from trainables.data.cache import open_sealed_entry, open_training_entry
from trainables.data.description import NearDuplicate, SplitDescription, describe_data
from trainables.data.training_data import prepare_training_data


def test_description_of_a_folder(make_folder) -> None:
    config = make_folder({"train/ants": 8, "train/bees": 8, "val/ants": 2, "val/bees": 2, "test/bees": 3})
    shutil.copy(config.root / "train/ants/003.jpg", config.root / "test/bees/stolen.jpg")
    (config.root / "train/bees/bad.jpg").write_text("no picture")
    (config.root / "test/bees/bad.jpg").write_text("no picture")
    description = describe_data(config.model_copy(update={"max_unreadable": 0.1}))
    assert description.image_shape == (3, 16, 16)
    assert description.classes == ("ants", "bees")
    assert description.splits == (
        SplitDescription("train", 16, (8, 8)),
        SplitDescription("validation", 4, (2, 2)),
        SplitDescription("test", 4, (0, 4)),
    )
    assert [file.path for file in description.unreadable] == ["train/bees/bad.jpg", "test/bees/bad.jpg"]
    assert NearDuplicate("train", "train/ants/003.jpg", "test", "test/bees/stolen.jpg") in description.near_duplicates


def test_bytes_on_disk(two_classes: DataConfig) -> None:
    description = describe_data(two_classes)
    folders = (open_training_entry(two_classes).folder, open_sealed_entry(two_classes).folder)
    assert description.cache_folders == folders
    assert description.bytes_on_disk == sum(file.stat().st_size for folder in folders for file in folder.iterdir())
    assert description.bytes_on_disk > 25 * 3 * 16 * 16


def test_split_sizes_are_those_of_training(two_classes: DataConfig) -> None:
    data, description = prepare_training_data(two_classes), describe_data(two_classes)
    assert description.splits[0].images == len(data.train_indices)
    assert description.splits[1].images == len(data.validation_indices)


def test_no_test_split(make_folder) -> None:
    config = make_folder({"train/ants": 8, "train/bees": 8}, test_fraction=0.0)
    assert describe_data(config).splits[2] == SplitDescription("test", 0, (0, 0))

import json

from trainables.config import DataConfig
from trainables.data.manifest import split_manifest
from trainables.data.training_data import open_test_data, prepare_training_data


def test_manifest_names_every_image_once(two_classes: DataConfig) -> None:
    manifest = split_manifest(two_classes, prepare_training_data(two_classes))
    assert json.loads(json.dumps(manifest)) == manifest
    splits = manifest["splits"]
    assert {name: split["images"] for name, split in splits.items()} == {"train": 16, "validation": 4, "test": 5}
    assert splits["train"]["per_class"] == {"ants": 6, "bees": 10}
    assert splits["test"]["per_class"] == {"ants": 2, "bees": 3}
    files = [file for split in splits.values() for file in split["files"]]
    assert len(set(files)) == len(files) == 25
    assert tuple(splits["test"]["files"]) == open_test_data(two_classes).names


def test_equal_data_has_an_equal_hash_and_another_seed_another(two_classes: DataConfig) -> None:
    first, again = (split_manifest(two_classes, prepare_training_data(two_classes)) for _ in range(2))
    assert first == again
    other = two_classes.model_copy(update={"split_seed": 5})
    assert split_manifest(other, prepare_training_data(other))["sha256"] != first["sha256"]


def test_unreadable_files_are_listed(two_classes: DataConfig) -> None:
    assert two_classes.root is not None
    for file in two_classes.root.rglob("*.jpg"):
        if file.name == "004.jpg":
            file.write_text("no picture")
    config = two_classes.model_copy(update={"max_unreadable": 0.5})
    data = prepare_training_data(config)
    manifest = split_manifest(config, data)
    assert [entry["file"] for entry in manifest["unreadable"]] == [file.path for file in data.unreadable]
    assert manifest["unreadable"]


def test_packaged_sets_are_listed_by_index() -> None:
    config = DataConfig(dataset="digits")
    manifest = split_manifest(config, prepare_training_data(config))
    assert manifest["splits"]["test"]["images"] == 359
    assert all(name.startswith("train/") for name in manifest["splits"]["test"]["files"])

from typing import get_args

import pytest

from trainables.config import DataConfig
from trainables.config.data import DatasetName
from trainables.data.decoding import ImageFormat
from trainables.data.sources import DATASETS, image_format


def test_every_name_of_the_configuration_is_a_data_set() -> None:
    assert set(DATASETS) == set(get_args(DatasetName))
    assert all(dataset.description for dataset in DATASETS.values())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"dataset": "digits"}, ImageFormat(8, 1, "crop")),
        ({"dataset": "mnist", "channels": 3}, ImageFormat(28, 3, "crop")),
        ({"dataset": "cifar10", "image_size": 40}, ImageFormat(40, 3, "crop")),
        (
            {"dataset": "image_folder", "root": "x", "image_size": 224, "resize": "stretch"},
            ImageFormat(224, 3, "stretch"),
        ),
    ],
)
def test_format_is_the_data_sets_own_unless_stated(settings: dict[str, object], expected: ImageFormat) -> None:
    assert image_format(DataConfig.model_validate(settings)) == expected

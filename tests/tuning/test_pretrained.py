from pathlib import Path

import pytest

from search_spaces.schema import StudyConfig
from tuning.pretrained import with_local_weights
from tuning.storage.paths import StudyFolder


def test_a_weights_file_is_absolute_wherever_the_study_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.pth").write_bytes(b"")
    study = StudyConfig.model_validate(
        {
            "name": "s",
            "data": {"dataset": "digits"},
            "model": {"name": "backbone", "weights": "mine.pth"},
            "space": {
                "model.weights": {"choices": ["none", "mine.pth"]},
                "model.freeze_depth": {"choices": [0, "all"], "when": {"model.weights": "mine.pth"}},
            },
        }
    )
    local = with_local_weights(study, "unused", StudyFolder(tmp_path, "s"))
    path = str(tmp_path / "mine.pth")
    assert local.model_dump()["model"]["weights"] == path
    assert local.space["model.weights"].choices == ["none", path]
    assert local.space["model.freeze_depth"].when == {"model.weights": path}

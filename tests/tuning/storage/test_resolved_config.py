"""A default that a new version changes does not change a study that an older one began."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import BaseModel

from search_spaces.schema import SearchConfig, StudyConfig
from trainables.config.training import TrainingConfig
from tuning.changes import study_changes
from tuning.storage.journal import StudyOpened
from tuning.storage.resolved_config import opened_config

WRITTEN: dict[str, Any] = {
    "name": "s",
    "data": {"dataset": "digits"},
    "model": {"name": "cnn", "filters": 8},
    "training": {"max_epochs": 3},
    "search": {"stages": [{"parameters": ["model.filters"], "trials": 4}]},
    "space": {"model.filters": {"choices": [8, 16]}},
}


def _opened(config: StudyConfig, *, with_resolved: bool = True) -> StudyOpened:
    """As `tuning.study` writes it."""
    return StudyOpened(
        version="0.2.0",
        study=config.model_dump(mode="json", exclude_unset=True),
        resolved=config.model_dump(mode="json") if with_resolved else None,
        data_fingerprint="f",
        host="h",
        pid=1,
    )


@contextmanager
def _default(monkeypatch: pytest.MonkeyPatch, model: type[BaseModel], field: str, value: Any) -> Iterator[None]:
    """A version of the program whose default for the field is another."""
    with monkeypatch.context() as patched:
        patched.setattr(model.model_fields[field], "default", value)
        rebuilt = (model, SearchConfig, TrainingConfig, StudyConfig)
        for one in rebuilt:
            one.model_rebuild(force=True)
        yield
    for one in rebuilt:
        one.model_rebuild(force=True)


@pytest.mark.parametrize(
    ("model", "section", "field", "value"),
    [(SearchConfig, "search", "keep_checkpoints", 7), (TrainingConfig, "training", "label_smoothing", 0.3)],
)
def test_a_resumed_study_keeps_the_old_default(
    monkeypatch: pytest.MonkeyPatch, model: type[BaseModel], section: str, field: str, value: Any
) -> None:
    begun = StudyConfig.model_validate(WRITTEN)
    old = _value(begun, section, field)
    opened, without = _opened(begun), _opened(begun, with_resolved=False)
    with _default(monkeypatch, model, field, value):
        assert _value(StudyConfig.model_validate(WRITTEN), section, field) == value  # the default is another now
        resumed = opened_config(opened)
        assert _value(resumed, section, field) == old
        assert resumed == begun
        assert _value(opened_config(_opened(resumed)), section, field) == old  # and again after the next driver
        assert _value(opened_config(without), section, field) == value  # an older journal has nothing to keep it by


def _value(study: StudyConfig, section: str, field: str) -> Any:
    holder = study if hasattr(study, section) else study.base
    return getattr(getattr(holder, section), field)


def test_what_was_written_stays_marked_as_such() -> None:
    begun = StudyConfig.model_validate(WRITTEN)
    resumed = opened_config(_opened(begun))
    assert resumed.model_dump(mode="json", exclude_unset=True) == begun.model_dump(mode="json", exclude_unset=True)


def test_accept_changes_shows_a_changed_default_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = _opened(StudyConfig.model_validate(WRITTEN))
    with _default(monkeypatch, TrainingConfig, "label_smoothing", 0.3):
        (change,) = study_changes(opened_config(opened), StudyConfig.model_validate(WRITTEN))
    assert (change.path, change.before, change.now) == ("training.label_smoothing", 0.0, 0.3)
    assert change.refused

"""The configuration that a study was begun with: a default that a new version changes must not change the study."""

from typing import Any, TypeVar, cast

from search_spaces.schema import StudyConfig
from trainables.config.base import Config
from tuning.storage.journal import StudyOpened

_Config = TypeVar("_Config", bound=Config)


def opened_config(event: StudyOpened) -> StudyConfig:
    """The configuration of a study as its driver had it, defaults included.

    Which fields the user wrote is kept (`model_fields_set`): only those are carried over where a trial has another
    variant of a section.

    Raises:
        pydantic.ValidationError: this version does not understand it.
    """
    if event.resolved is None:
        return StudyConfig.model_validate(event.study)
    return _as_written(StudyConfig.model_validate(event.resolved), event.study)


def _as_written(config: _Config, written: dict[str, Any]) -> _Config:
    """The same values, with only what was written marked as set."""
    kind = type(config)
    values = {name: _nested(getattr(config, name), written.get(name)) for name in kind.model_fields}
    return cast(_Config, kind.model_construct(_fields_set=set(written), **values))


def _nested(value: Any, written: Any) -> Any:
    if isinstance(value, Config):
        return _as_written(value, written) if isinstance(written, dict) else value
    if isinstance(value, dict) and isinstance(written, dict):  # the space: parameters by path
        return {key: _nested(content, written.get(key)) for key, content in value.items()}
    if isinstance(value, tuple) and isinstance(written, list):  # stages
        return tuple(_nested(content, part) for content, part in zip(value, written, strict=True))
    return value

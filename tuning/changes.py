"""What differs between a study as it was begun and its file as it is now, and which of that a study can go on with.

A change can be accepted where every result so far keeps its meaning beside those to come: it may concern which trials
are run, how many, where and how safely, but neither what a trial learns nor what trials are compared by.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.schema import StudyConfig
from search_spaces.search_options import StageConfig
from trainables.config.references import absolute, holds_reference
from trainables.errors import InputError
from tuning.storage.paths import REGISTERED, StudyFolder

_BUDGET = frozenset({"search.trials", "search.time_budget"})
"""More of them extends a study, without a question; less is what a study looks like that `resume` has extended. In a
search by stages, the trials of the last stage stand for `search.trials`."""

_ACCEPTABLE = frozenset(
    {
        "search.searcher",
        "search.first",
        "search.warm_start",
        "search.total_epochs",
        "search.target",
        "search.patience",
        "search.keep_checkpoints",
        "confirm.top",
        "confirm.seeds",
        "resources.cpus_per_trial",
        "resources.gpus_per_trial",
        "resources.memory_per_trial",
        "resources.max_concurrent",
        "training.checkpoint_seconds",
    }
)
"""Fields that decide which trials are run, how many, where and how safely."""

_REFUSED = {
    "search.objective": "the trials so far were compared, and their best epochs kept, by the former one",
    "search.second_objective": "the trials so far were proposed, and their weights kept, by the former one",
    "search.scheduler": "the trials so far were stopped by the former one",
    "search.seed": "the trials so far were drawn from the former one",
    "search.stages": "the stages so far rest on it",
    "data": "trials would see other images, or see them otherwise",
}
_TRAINED = "the trials so far were trained with what it was"
"""Why any other field is refused."""


@dataclass(frozen=True)
class Change:
    """One field."""

    path: str
    before: Any
    now: Any
    refused: str = ""
    """Why results would not be comparable; empty where the change can be accepted."""

    def __str__(self) -> str:
        verdict = f"refused: {self.refused}" if self.refused else "can be accepted"
        return f"{self.path}: was {self.before}, is {self.now} ({verdict})"


def study_changes(begun: StudyConfig, now: StudyConfig) -> tuple[Change, ...]:
    """Fields whose values differ, by path, without the budget; a file or folder is the same however it is written."""
    before, after = dict(_fields(begun)), dict(_fields(now))
    paths = [*before, *(path for path in after if path not in before)]
    differing = (path for path in paths if before.get(path) != after.get(path) and path not in _BUDGET)
    return tuple(Change(path, before.get(path), after.get(path), _refusal(path, begun, now)) for path in differing)


def going_on(folder: StudyFolder, begun: StudyConfig, now: StudyConfig, *, accept_changes: bool) -> StudyConfig:
    """The configuration with which a study that was `begun` goes on when its file is `now`.

    Args:
        folder: of the study, for the command that goes on without the changes.
        begun: as the study's record has it.
        now: the file, with the same name.
        accept_changes: take over what leaves results comparable, a smaller budget too; else nothing but a larger one.

    Raises:
        InputError: what else has changed, field by field, and what of it can be accepted.
    """
    changes = study_changes(begun, now)
    if any(change.refused for change in changes) or (changes and not accept_changes):
        raise InputError(_explanation(folder, changes))
    if not accept_changes:
        return _with_larger_budgets(begun, now)
    training = begun.training.model_copy(update={"checkpoint_seconds": now.training.checkpoint_seconds})
    taken: dict[str, object] = {"search": now.search, "confirm": now.confirm, "resources": now.resources}
    # Where nothing is different the former spelling stays: it has the weights' files by their absolute paths.
    space = {path: begun.space[path] if _same_parameter(begun, now, path) else now.space[path] for path in now.space}
    return begun.model_copy(update={**taken, "training": training, "space": space})


def _with_larger_budgets(begun: StudyConfig, now: StudyConfig) -> StudyConfig:
    """The larger of the two budgets; where either has no time budget, the former one's."""
    former, new = begun.search, now.search
    update: dict[str, object] = {"trials": max(former.trials, new.trials)}
    if former.stages:
        update["stages"] = _with_last_trials(former.stages, max(former.stages[-1].trials, new.stages[-1].trials))
    if former.time_budget is not None and new.time_budget is not None:
        update["time_budget"] = max(former.time_budget, new.time_budget)
    return begun.model_copy(update={"search": former.model_copy(update=update)})


def _explanation(folder: StudyFolder, changes: tuple[Change, ...]) -> str:
    listed = "\n".join(f"  {change}" for change in changes)
    if any(change.refused for change in changes):
        advice = "Its results would not be comparable: give the new settings another --name"
    else:
        advice = "Take the new settings over with --accept-changes, give them another --name"
    return (
        f"study {folder.name!r} was begun with other settings:\n{listed}\n"
        f"{advice}, or go on with the former ones by `{folder.command('resume')}`"
    )


def _refusal(path: str, begun: StudyConfig, now: StudyConfig) -> str:
    section, _, field = path.partition(".")
    if path in _ACCEPTABLE:
        return ""
    if section == "space":
        return _refusal_in_space(field, begun, now)
    return _REFUSED.get(path) or _REFUSED.get(section) or _TRAINED


def _refusal_in_space(path: str, begun: StudyConfig, now: StudyConfig) -> str:
    """A range may be other than it was, and a parameter new: the searcher then leaves aside what lies outside."""
    former, new = begun.space.get(path), now.space.get(path)
    if begun.search.stages:
        return "what the stages so far have found best was found in the former one"
    if path == "training.max_epochs":
        return "the epochs at which trials are compared follow from it"
    if new is None:
        return "the trials so far have values of it, and the searcher would take them for the base's"
    if former is not None and _comparable(former.when) != _comparable(new.when):
        return "in which of the trials so far it exists would be another question"
    return ""


def _with_last_trials(stages: tuple[StageConfig, ...], trials: int) -> tuple[StageConfig, ...]:
    return (*stages[:-1], *(stage.model_copy(update={"trials": trials}) for stage in stages[-1:]))


def _same_parameter(begun: StudyConfig, now: StudyConfig, path: str) -> bool:
    return path in begun.space and _parameter(begun, path) == _parameter(now, path)


def _parameter(study: StudyConfig, path: str) -> Any:
    return _comparable(study.space[path].model_dump(exclude_unset=True))


def _fields(study: StudyConfig) -> Iterator[tuple[str, Any]]:
    for section, value in study:
        if section == "space":
            yield from ((f"space.{path}", _parameter(study, path)) for path in value)
        elif section == "name":
            yield section, value
        elif section == "search":
            without_budget = value.model_copy(update={"stages": _with_last_trials(value.stages, 0)})
            yield from ((f"search.{field}", content) for field, content in without_budget)
        else:
            yield from ((f"{section}.{field}", _comparable(content)) for field, content in value)


def _comparable(value: Any) -> Any:
    """One spelling of what a driver writes down otherwise than the file has it: folders, files, registered models."""
    if isinstance(value, dict):
        return {key: _comparable(content) for key, content in value.items()}
    if isinstance(value, list):
        return [_comparable(content) for content in value]
    if isinstance(value, str) and value.startswith("models:/"):
        return StudyFolder(Path(), "").registered(value).name
    if isinstance(value, str | Path):
        path = Path(value).expanduser()
        if REGISTERED in path.parts:
            return path.parts[path.parts.index(REGISTERED) + 1]
        if holds_reference(value):
            return str(absolute(path))
        return str(path.resolve()) if isinstance(value, Path) or path.is_file() else value
    return value

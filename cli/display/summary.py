"""Final output of `run` and `resume`: the results, and the next steps."""

import json
from collections.abc import Callable

from pydantic import BaseModel, Field

from cli.display import formatting
from cli.display.output import say
from cli.studies import open_study
from tuning.selection.results import StudyResults, study_results
from tuning.storage.own_files import read_small
from tuning.storage.paths import StudyFolder
from tuning.tracking.state import read_run_ids

_LARGEST_MANIFEST = 2**30
"""Bytes: enough for the names of ten million images."""


def print_summary(folder: StudyFolder, print_json: Callable[[BaseModel], None] | None) -> None:
    """Print the study's results with `print_json`, or as a few lines of text."""
    study = open_study(folder.storage, folder.name)
    results = study_results(study.record, read_run_ids(study.folder))
    if print_json is not None:
        print_json(results)
        return
    say()
    say(f"study {folder.name} {results.state}: {results.reason}")
    took = formatting.duration(study.record.search_seconds)
    say(f"{len(results.trials)} trials in {took}: {formatting.counts(results.counts())}")
    for line in (*caveat_lines(results), *champion_lines(results, study.folder)):
        say(line)
    if study.record.champion_model is not None:
        say(f"model: {study.record.champion_model.model_uri}")
    for line in _next_steps(folder):
        say(line)


def caveat_lines(results: StudyResults) -> list[str]:
    """Warnings about unreliable results; empty for an intact journal."""
    return [f"warning: {caveat}" for caveat in results.caveats]


def champion_lines(results: StudyResults, folder: StudyFolder) -> list[str]:
    """The champion, its parameters one per line, and its sealed test; empty without a champion."""
    champion = results.champion
    if champion is None or champion.value is None:
        return []
    width = max(map(len, champion.params), default=0)
    value = formatting.metric(results.objective, champion.value)
    if results.objective == "val_accuracy":
        value += _of_images(folder, champion.value)
    return [
        f"champion: trial {champion.number}, {results.objective} {value}, epoch {champion.best_epoch}",
        *(f"  {path:<{width}}  {formatting.number(value)}" for path, value in champion.params.items()),
        *([f"  picked for {results.picked}"] if results.picked is not None else []),
        *_confirmation_lines(results),
        *_test_lines(results),
    ]


def _confirmation_lines(results: StudyResults) -> list[str]:
    lines = []
    for one in results.confirmation:
        low, high = (formatting.metric(results.objective, end) for end in one.interval)
        mean = formatting.metric(results.objective, one.mean)
        tied = f", may be as good as trial {results.confirmation[0].number}" if one.tied else ""
        lines.append(f"  trial {one.number}: mean {mean} over {one.seeds} seeds, 95 % interval {low} to {high}{tied}")
    return ["confirmed with fresh seeds:", *lines] if lines else []


def _test_lines(results: StudyResults) -> list[str]:
    test = results.test
    if test is None:
        return []
    low, high = test["interval"]
    said = f"{formatting.metric('accuracy', test['accuracy'])} of {test['n']} images ({formatting.interval(low, high)})"
    times = "once" if test["openings"] == 1 else f"{test['openings']} times"
    return [f"sealed test, opened {times}: trial {test['trial']}, accuracy {said}"]


class _Split(BaseModel):
    images: int = Field(ge=0, le=10**12)


class _Splits(BaseModel):
    validation: _Split


class _Manifest(BaseModel):
    """The part of `splits.json` used here."""

    splits: _Splits


def _of_images(folder: StudyFolder, accuracy: float) -> str:
    """Number of validation images and the accuracy's interval; empty without a manifest."""
    from tuning.selection.statistics import accuracy_interval

    try:
        # Not pydantic's JSON parser: it rejects file names that are not UTF-8.
        content = json.loads(read_small(folder.manifest, _LARGEST_MANIFEST))
        images = _Manifest.model_validate(content).splits.validation.images
    except FileNotFoundError:
        return ""
    except (ValueError, RecursionError):  # pydantic's and json's errors are ValueErrors
        return f" ({folder.manifest} is invalid: no interval)"
    if images == 0:
        return ""
    return f" of {images} images ({formatting.interval(*accuracy_interval(round(accuracy * images), images))})"


def _next_steps(folder: StudyFolder) -> list[str]:
    steps = {
        folder.command("results"): "every trial",
        folder.command("ui"): "compare them in the browser",
        folder.command("test"): "the champion's accuracy on images that no trial has seen",
    }
    width = max(map(len, steps))
    return ["", "next:", *(f"  {command:<{width}}  {purpose}" for command, purpose in steps.items())]

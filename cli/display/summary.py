"""What `run` and `resume` say at the end: what came out, and what to do next."""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from cli.display import formatting
from cli.studies import open_study
from tuning.selection.results import StudyResults, study_results
from tuning.storage.paths import StudyFolder
from tuning.tracking.state import read_run_ids


def print_summary(storage: Path, name: str, print_json: Callable[[BaseModel], None] | None) -> None:
    """Print the study's results with `print_json`, or a few lines for a person."""
    study = open_study(storage, name)
    results = study_results(study.record, read_run_ids(study.folder))
    if print_json is not None:
        print_json(results)
        return
    print()
    print(f"study {name} {results.state}: {results.reason}")
    took = formatting.duration(study.record.search_seconds)
    print(f"{len(results.trials)} trials in {took}: {formatting.counts(results.counts())}")
    for line in champion_lines(results, study.folder):
        print(line)
    if study.record.champion_model is not None:
        print(f"model: {study.record.champion_model.model_uri}")
    for line in _next_steps(study.folder):
        print(line)


def champion_lines(results: StudyResults, folder: StudyFolder) -> list[str]:
    """The champion with its parameters, one a line, and what its sealed test said; nothing if there is none."""
    champion = results.champion
    if champion is None or champion.value is None:
        return []
    width = max(map(len, champion.params), default=0)
    value = formatting.metric(results.objective, champion.value)
    if results.objective == "val_accuracy" and (images := _validation_images(folder)):
        value += f" of {images} images ({_interval(champion.value, images)})"
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


def _validation_images(folder: StudyFolder) -> int | None:
    """How many images the validation accuracy is of; None where the manifest is not there."""
    if not folder.manifest.exists():
        return None
    images: int = json.loads(folder.manifest.read_text())["splits"]["validation"]["images"]
    return images


def _interval(accuracy: float, images: int) -> str:
    from tuning.selection.statistics import accuracy_interval

    return formatting.interval(*accuracy_interval(round(accuracy * images), images))


def _next_steps(folder: StudyFolder) -> list[str]:
    steps = {
        f"tune-cli results {folder.reference}": "every trial",
        f"tune-cli ui{folder.storage_option}": "compare them in the browser",
        f"tune-cli test {folder.reference}": "the champion's accuracy on images that no trial has seen",
    }
    width = max(map(len, steps))
    return ["", "next:", *(f"  {command:<{width}}  {purpose}" for command, purpose in steps.items())]

"""`data prepare` and `data info`: a study's images, before it is run."""

import sys
from typing import TYPE_CHECKING

from cli.options import Set, StudyFile

if TYPE_CHECKING:
    from search_spaces.schema import StudyConfig
    from trainables.data.training_data import TrainingData


def prepare(file: StudyFile, set_: Set = None) -> None:
    """Decode the images once, so that `run` starts at once; downloads what is missing."""
    _, data = _prepare(file, set_)
    print(f"{len(data.labels)} images of {len(data.classes)} classes are ready (fingerprint {data.fingerprint[:12]})")


def info(file: StudyFile, set_: Set = None) -> None:
    """Show classes, splits, size and normalisation of a study's images."""
    from trainables.data.manifest import split_manifest

    config, data = _prepare(file, set_)
    manifest = split_manifest(config.data, data)
    channels, height, width = data.image_shape
    print(f"data set     {config.data.dataset}")
    print(f"images       {height} x {width} pixels, {channels} channel{'s' if channels > 1 else ''}")
    print(f"mean         {' '.join(f'{value:.4f}' for value in data.mean)}")
    print(f"deviation    {' '.join(f'{value:.4f}' for value in data.std)}")
    print(f"fingerprint  {data.fingerprint}")
    splits = manifest["splits"]
    headings = {split: f"{split} {content['images']}" for split, content in splits.items()}
    width = max(len("class"), *map(len, data.classes))
    print(f"\n{'class':<{width}}  {'  '.join(headings.values())}")
    for name in data.classes:
        counts = (f"{content['per_class'][name]:>{len(headings[split])}}" for split, content in splits.items())
        print(f"{name:<{width}}  {'  '.join(counts)}")


def _prepare(file: StudyFile, overrides: list[str] | None) -> "tuple[StudyConfig, TrainingData]":
    """Read the study file and its images, saying how far it has come."""
    from cli.watch import watch
    from search_spaces.loading import load_study
    from trainables.data.training_data import prepare_training_data

    config = load_study(file, overrides or [])
    with watch(on_stderr=True) as observer:
        observer.phase("reading images")
        data = prepare_training_data(config.data, observer.progress)
    for unreadable in data.unreadable:
        print(f"warning: left out {unreadable.path}: {unreadable.reason}", file=sys.stderr)
    return config, data

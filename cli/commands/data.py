"""`data prepare` and `data info`: a study's images, before it runs."""

from typing import TYPE_CHECKING

from cli.display.output import say, say_aside, visible_in_line
from cli.options import Set, StudyFile

if TYPE_CHECKING:
    from search_spaces.schema import StudyConfig
    from trainables.data.description import DataDescription
    from trainables.data.training_data import TrainingData

_LISTED = 10
"""Maximum files to list of each kind; a data set may have thousands of duplicates."""


def prepare(file: StudyFile, set_: Set = None) -> None:
    """Download and decode the images, so that `run` starts right away."""
    _, data = _prepare(file, set_)
    say(f"{len(data.labels)} images of {len(data.classes)} classes are ready (fingerprint {data.fingerprint[:12]})")


def info(file: StudyFile, set_: Set = None) -> None:
    """Show a study's images: classes, splits, near-duplicates across splits, normalization and size."""
    from cli.display.watch import watch
    from trainables.data.description import describe_data

    config, data = _prepare(file, set_)
    with watch(on_stderr=True) as observer:
        observer.phase("looking for near-duplicate images")
        described = describe_data(config.data, observer.progress)
    channels, height, width = described.image_shape
    say(f"data set     {described.dataset}")
    say(f"images       {height} x {width} pixels, {channels} channel{'s' if channels > 1 else ''}")
    say(f"mean         {' '.join(f'{value:.4f}' for value in data.mean)}")
    say(f"deviation    {' '.join(f'{value:.4f}' for value in data.std)}")
    say(f"fingerprint  {data.fingerprint}")
    say(f"on disk      {described.bytes_on_disk / 1e6:,.1f} MB of decoded images in")
    for folder in described.cache_folders:
        say(f"             {visible_in_line(str(folder))}")
    _print_files("unreadable", [f"{one.path}: {one.reason}" for one in described.unreadable])
    alike = described.near_duplicates
    _print_files("alike", [f"{one.first_split} {one.first}, {one.second_split} {one.second}" for one in alike])
    _print_splits(described)


def _print_files(name: str, files: list[str]) -> None:
    say(f"{name:<11}  {len(files) or 'none'}")
    for file in files[:_LISTED]:
        say(f"             {visible_in_line(file)}")
    if len(files) > _LISTED:
        say(f"             and {len(files) - _LISTED} more")


def _print_splits(described: "DataDescription") -> None:
    headings = [f"{split.name} {split.images}" for split in described.splits]
    classes = [visible_in_line(name) for name in described.classes]
    width = max(len("class"), *map(len, classes))
    say(f"\n{'class':<{width}}  {'  '.join(headings)}")
    for row, name in enumerate(classes):
        counts = (
            f"{split.per_class[row]:>{len(head)}}" for split, head in zip(described.splits, headings, strict=True)
        )
        say(f"{name:<{width}}  {'  '.join(counts)}")


def _prepare(file: StudyFile, overrides: list[str] | None) -> "tuple[StudyConfig, TrainingData]":
    """Read the study file and its images, and show the progress."""
    from cli.display.watch import watch
    from search_spaces.loading import load_study
    from trainables.data.training_data import prepare_training_data

    config = load_study(file, overrides or [])
    with watch(on_stderr=True) as observer:
        observer.phase("reading images")
        data = prepare_training_data(config.data, observer.progress)
    for unreadable in data.unreadable:
        say_aside(f"warning: left out {visible_in_line(f'{unreadable.path}: {unreadable.reason}')}")
    return config, data

"""`test`: open the sealed test split for a study's champion."""

from typing import TYPE_CHECKING

from cli.display.output import say, say_aside, visible_in_line
from cli.options import Json, Storage, StudyName, TrackingUri
from tuning.storage.paths import DEFAULT_STORAGE

if TYPE_CHECKING:
    from tuning.selection.holdout import TestReport


def open_test(
    name: StudyName, storage: Storage = DEFAULT_STORAGE, tracking_uri: TrackingUri = None, json: Json = False
) -> None:
    """Measure the champion on images that no trial has seen. Run it once: every use is recorded."""
    from cli.commands.sync import bring_to_mlflow
    from cli.display.output import result_alone
    from cli.display.watch import watch
    from cli.studies import open_study
    from tuning.tracking.state import repeating, resolve_tracking_uri

    folder = repeating(open_study(storage, name).folder, tracking_uri)
    uri = resolve_tracking_uri(tracking_uri, storage, folder)
    with result_alone(json) as show:
        from tuning.selection.holdout import test_champion

        with watch(on_stderr=True) as observer:
            report = test_champion(folder, observer)
        problem = bring_to_mlflow(folder, uri)
        if problem is not None:
            say_aside(f"warning: {problem}; `{folder.command('sync')}` will bring it there")
        if json:
            show(report)
        else:
            _print(report)


def _print(report: "TestReport") -> None:
    from cli.display import formatting

    low, high = report.interval
    say(f"trial {report.trial}, champion of study {report.study}, on {report.n} images that no trial has seen:")
    say(f"accuracy {formatting.metric('accuracy', report.accuracy)}, {formatting.interval(low, high)}")
    per_class = {visible_in_line(name): accuracy for name, accuracy in report.per_class.items()}
    width = max(map(len, per_class), default=0)
    for name, accuracy in per_class.items():
        say(f"  {name:<{width}}  {formatting.metric('accuracy', accuracy):>8}")
    if report.openings > 1:
        say(f"the test split was opened {report.openings} times, so this accuracy may be too optimistic")

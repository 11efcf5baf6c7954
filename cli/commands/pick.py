"""`pick`: choose the champion within size and speed limits."""

import math
import re
from typing import TYPE_CHECKING, Annotated

import typer

from cli.display.output import say, say_aside
from cli.options import Json, Storage, StudyName, TrackingUri
from trainables.errors import InputError
from tuning.storage.paths import DEFAULT_STORAGE

if TYPE_CHECKING:
    from tuning.selection.pick import Picked

_LATENCY = re.compile(r"(?P<number>[\d.]+(?:e[+-]?\d+)?)\s*(?P<unit>us|ms|s)", re.IGNORECASE)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def pick(
    name: StudyName,
    max_parameters: Annotated[
        float | None,
        typer.Option(metavar="N", help="Maximum number of parameters, for example 5e6.", show_default=False),
    ] = None,
    max_macs: Annotated[
        float | None,
        typer.Option(metavar="N", help="Maximum multiply-accumulates per image.", show_default=False),
    ] = None,
    max_latency: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Maximum time per image on one CPU thread of this machine, for example 10ms.",
            show_default=False,
        ),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Make the best trial within the limits the champion, and register its model."""
    from cli.commands.sync import bring_to_mlflow
    from cli.display.output import result_alone
    from cli.display.watch import watch
    from cli.studies import open_study
    from tuning.tracking.state import repeating, resolve_tracking_uri

    parameters, macs = _positive("--max-parameters", max_parameters), _positive("--max-macs", max_macs)
    latency_s = _seconds(max_latency)
    if parameters is None and macs is None and latency_s is None:
        raise InputError("give at least one limit: --max-parameters 5e6, --max-macs 1e8 or --max-latency 10ms")
    folder = repeating(open_study(storage, name).folder, tracking_uri)
    uri = resolve_tracking_uri(tracking_uri, storage, folder)
    with result_alone(json) as show:
        from tuning.selection.pick import Limits, pick_champion

        with watch(on_stderr=True) as observer:
            picked = pick_champion(folder, Limits(parameters, macs, latency_s), uri, observer)
        problem = bring_to_mlflow(folder, uri)
        if problem is not None:
            say_aside(f"warning: {problem}; `{folder.command('sync')}` will bring it there")
        if json:
            show(picked)
        else:
            _print(picked)


def _print(picked: "Picked") -> None:
    from cli.display import formatting

    value = formatting.metric(picked.objective, picked.value)
    say(f"trial {picked.trial} is now the champion of study {picked.study}: {picked.objective} {value}")
    say(f"picked for {picked.limits}: {formatting.sizes(picked.size)}")
    if picked.latency_s:
        say("median time per image on one CPU thread of this machine:")
    for number, seconds in picked.latency_s.items():
        say(f"  trial {number}  {1000 * seconds:.3g} ms")
    if picked.unavailable:
        numbers = ", ".join(map(str, picked.unavailable))
        say(f"better, but unavailable because the weights were not kept (search.keep_checkpoints): trial {numbers}")
    say(f"model: {picked.model_uri}")


def _positive(option: str, value: float | None) -> float | None:
    if value is not None and not (0 < value < math.inf):
        raise InputError(f"{option} {value:g}: give a number above 0, for example {option} 5e6")
    return value


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = _LATENCY.fullmatch(text.strip())
    try:
        seconds = float(match["number"]) * _SECONDS[match["unit"].lower()] if match else 0.0
    except ValueError:  # two decimal points
        seconds = 0.0
    if seconds <= 0:
        raise InputError(f"--max-latency {text}: write a time above 0 with its unit, for example 10ms, 0.5s, 800us")
    return seconds

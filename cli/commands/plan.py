"""`plan`: what a study would do, without starting it."""

import logging
import os
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from cli.display.output import say
from cli.options import Json, Set, StudyFile

_LISTED = 50
"""Maximum choices of a parameter, or rungs, to print."""
_REASONS = 10
"""Maximum reasons for infeasible configurations to print, most common first."""

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search_spaces.schema import StudyConfig
    from tuning.planning.plan import (
        Plan,
        PlannedEpochs,
        PlannedParameter,
        PlannedStage,
        PlannedTime,
        PlannedTrial,
        Seconds,
    )


Calibrate = Annotated[
    bool,
    typer.Option(
        "--calibrate",
        help="Train a few batches of a few configurations on the study's images, decoded first if necessary, "
        "and estimate the time.",
    ),
]


def plan(file: StudyFile, set_: Set = None, json: Json = False, calibrate: Calibrate = False) -> None:
    """Show a study's search space, model sizes, cost, and infeasible configurations."""
    from cli.display.output import result_alone
    from search_spaces.loading import load_study

    study = load_study(file, set_ or [])
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads, as in the workers
    with result_alone(json) as show:
        from cli.display.watch import watch
        from tuning.planning.planner import plan_study

        logging.getLogger("optuna").setLevel(logging.WARNING)  # logs every in-memory study
        if calibrate:
            with watch(on_stderr=True) as observer:
                made = plan_study(study, observer)
        else:
            made = plan_study(study)
        if json:
            show(made)
        else:
            _print(study, made)


def _print(study: "StudyConfig", made: "Plan") -> None:
    search = study.search
    how = (
        f"{len(made.stages)} stages" if made.stages else _how(search.searcher.name, search.scheduler.name, made.epochs)
    )
    say(f"study {study.name}: {made.trials} trials, {how}\n")
    _print_table(("parameter", "values", ""), [_parameter_row(parameter) for parameter in made.parameters])
    total = made.cardinality if isinstance(made.cardinality, str) else f"{made.cardinality:,}"
    say(f"\nconfigurations: {total}\n")
    if made.stages:
        _print_table(
            ("stage", "trials", "of", "epochs", "what varies", ""), [_stage_row(one) for one in made.stages], (1, 3)
        )
        say()
    _print_table(
        ("", "parameters", "MACs", "memory", ""), [_trial_row(trial) for trial in made.samples], right=(1, 2, 3)
    )
    say(f"\ncannot be built: {100 * made.infeasible_fraction:.1f} % of {made.measured} configurations")
    for reason, times in islice(made.infeasible_reasons.items(), _REASONS):
        say(f"  {times} times: {reason}")
    if len(made.infeasible_reasons) > _REASONS:
        say(f"  and {len(made.infeasible_reasons) - _REASONS} other reasons; --json lists them all")
    say(_epochs(made))
    say(f"disk for checkpoints: at most {_bytes(made.checkpoint_bytes)}")
    if made.time is not None:
        _print_time(made.time)


def _how(searcher: str, scheduler: str, epochs: "PlannedEpochs") -> str:
    if scheduler == "none":
        return f"{searcher} proposes, no early stopping"
    if not epochs.rungs:
        return f"{searcher} proposes, {scheduler} stops nothing (its first rung is at or past epoch {epochs.a_trial})"
    return f"{searcher} proposes, {scheduler} stops"


def _print_table(heading: tuple[str, ...], rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> None:
    from rich.table import Table
    from rich.text import Text

    from cli.display.output import console

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for position, title in enumerate(heading):
        table.add_column(title, justify="right" if position in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def _parameter_row(parameter: "PlannedParameter") -> tuple[str, str, str]:
    from cli.display import formatting

    if parameter.choices is not None:
        values = _first_of(parameter.choices)
    else:
        values = f"{formatting.number(parameter.low)} to {formatting.number(parameter.high)}"
        values += f", step {formatting.number(parameter.step)}" if parameter.step is not None else ""
        values += ", log" if parameter.log else ""
    when = ", ".join(f"{path} is {_condition(value)}" for path, value in (parameter.when or {}).items())
    return parameter.path, values, f"when {when}" if when else ""


def _condition(value: object) -> str:
    return f"[{_first_of(value)}]" if isinstance(value, list) else str(value)


def _first_of(values: "Sequence[object]") -> str:
    """All values; if there are many, the first ones and the last."""
    from cli.display import formatting

    shown = list(map(formatting.number, values[:_LISTED]))
    if len(values) > _LISTED:
        shown += ["...", formatting.number(values[-1]), f"({len(values):,} in all)"]
    return ", ".join(shown)


def _stage_row(stage: "PlannedStage") -> tuple[str, ...]:
    of = stage.cardinality if isinstance(stage.cardinality, str) else f"{stage.cardinality:,}"
    images = [f"{stage.image_size} pixels"] if stage.image_size is not None else []
    images += [f"{100 * stage.train_fraction:g} % of the images"] if stage.train_fraction < 1.0 else []
    how = ", ".join((_how(stage.searcher, stage.scheduler, stage.epochs), *images))
    epochs = stage.epochs.most if stage.epochs.expected is None else stage.epochs.expected
    return str(stage.stage), str(stage.trials), of, str(epochs), ", ".join(stage.parameters), how


def _trial_row(trial: "PlannedTrial") -> tuple[str, ...]:
    from cli.display import formatting

    said = formatting.parameters(trial.params)
    if trial.parameters is None or trial.macs is None or trial.memory_bytes is None:
        return trial.kind, "-", "-", "-", f"{trial.infeasible}: {said}"
    return trial.kind, f"{trial.parameters:,}", f"{trial.macs:,}", _bytes(trial.memory_bytes), said


def _epochs(made: "Plan") -> str:
    epochs = made.epochs
    rungs = f", decided at {_first_of(epochs.rungs)}" if epochs.rungs else ""
    expected = "" if epochs.expected is None else f", about {epochs.expected} expected"
    confirm = f"; {epochs.confirm} more to confirm the best" if epochs.confirm else ""
    return f"epochs: {epochs.a_trial} per trial{rungs}; at most {epochs.most} in total{expected}{confirm}"


def _print_time(time: "PlannedTime") -> None:
    from cli.display import formatting

    say()
    rows: list[tuple[str, ...]] = [
        (one.kind, "-" if one.seconds_per_epoch is None else f"{one.seconds_per_epoch:.3g}", one.failed or said)
        for one, said in ((one, formatting.parameters(one.params)) for one in time.samples)
    ]
    _print_table(("", "s/epoch", f"measured with {time.threads} thread{'s' if time.threads > 1 else ''}"), rows, (1,))
    confirm = f", including {_span(time.confirm)} to confirm the best" if time.confirm.high else ""
    say(f"\ntime: {_span(time.total)}{confirm}")
    for assumption in time.assumptions:
        say(f"  {assumption}")


def _span(seconds: "Seconds") -> str:
    from cli.display import formatting

    low, high = formatting.duration(seconds.low), formatting.duration(seconds.high)
    return f"about {formatting.duration(seconds.expected)} ({low} to {high})"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"

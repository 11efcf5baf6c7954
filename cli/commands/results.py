"""`results`: what a study found, also while it runs."""

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Json, Storage, StudyName
from tuning.storage.paths import DEFAULT_STORAGE

if TYPE_CHECKING:
    from rich.table import Table

    from tuning.selection.pareto import Size
    from tuning.selection.results import StudyResults, TrialResult
    from tuning.storage.paths import StudyFolder

_SHOWN = 10
_TRIALS_NAMED = 8


def results(
    name: StudyName,
    top: Annotated[
        int | None,
        typer.Option(min=1, help=f"Show the best K trials. Default: {_SHOWN}; with --json, all.", show_default=False),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also show each parameter's effect on the objective.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
    json: Json = False,
) -> None:
    """Show the best trials of a study, its champion, and why trials failed."""
    from cli.display.importance import explained, print_importance, with_importance
    from cli.display.output import result_alone
    from cli.studies import open_study
    from tuning.selection.results import study_results
    from tuning.tracking.state import read_run_ids

    with result_alone(json) as show:
        study = open_study(storage, name)
        found = study_results(study.record, read_run_ids(study.folder), driver_died=study.driver_died)
        importance = explained(study.record) if explain else None
        if json:
            limited = found if top is None else _limited(found, top)
            show(limited if importance is None else with_importance(limited, importance))
            return
        _print(found, study.folder, top or _SHOWN)
        if importance is not None:
            print_importance(importance)


def _limited(found: "StudyResults", top: int) -> "StudyResults":
    return found.model_copy(update={"trials": tuple(found.ranked()[:top]), "ranking": found.ranking[:top]})


def _print(found: "StudyResults", folder: "StudyFolder", top: int) -> None:
    from cli.display import formatting
    from cli.display.output import console
    from cli.display.summary import caveat_lines, champion_lines

    screen = console()
    reason = f": {found.reason}" if found.reason else ""
    screen.print(f"study {found.study} {found.state}{reason}")
    screen.print(f"{len(found.trials)} trials: {formatting.counts(found.counts())}")
    for line in (*caveat_lines(found), *champion_lines(found, folder)):
        screen.print(line, soft_wrap=True)
    ranked = found.ranked()
    if found.stages:
        screen.print()
        screen.print(_stages(found))
    if ranked:
        screen.print()
        screen.print(f"the best {min(top, len(ranked))} of {len(ranked)} by {found.objective}")
        screen.print(_table(found.objective, ranked[:top]))
    if found.second_objective is not None and found.pareto:
        screen.print()
        screen.print(f"beaten by no trial in both {found.objective} and {found.second_objective}")
        screen.print(_trade_offs(found, found.second_objective))
    for line in _failures(found):
        screen.print(line, soft_wrap=True)


def _table(objective: str, ranked: "list[TrialResult]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from cli.display import formatting

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("trial", objective, "epochs", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("parameters", overflow="fold")
    for trial in ranked:
        table.add_row(
            str(trial.number),
            formatting.metric(objective, trial.value),
            str(trial.epochs),
            formatting.duration(trial.duration_s),
            formatting.STATES[trial.state],
            Text(formatting.parameters(trial.params)),
        )
    return table


def _stages(found: "StudyResults") -> "Table":
    """The stages of a staged search."""
    from rich.table import Table

    from cli.display import formatting

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("stage", "trials", "best trial", found.objective):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what varied", overflow="fold")
    by_number = {trial.number: trial for trial in found.trials}
    for stage in found.stages:
        best = None if stage.best is None else by_number[stage.best]
        value = "-" if best is None else formatting.metric(found.objective, best.value)
        number = "-" if best is None else str(best.number)
        table.add_row(str(stage.stage), str(stage.trials), number, value, ", ".join(stage.parameters))
    return table


def _trade_offs(found: "StudyResults", second: "Size") -> "Table":
    """The Pareto set, smallest first."""
    from rich.table import Table
    from rich.text import Text

    from cli.display import formatting

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("trial", found.objective, second):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("configuration", overflow="fold")
    by_number = {trial.number: trial for trial in found.trials}
    for trial in (by_number[number] for number in found.pareto):
        value, size = formatting.metric(found.objective, trial.value), f"{trial.size[second]:,}"
        table.add_row(str(trial.number), value, size, Text(formatting.parameters(trial.params)))
    return table


def _failures(found: "StudyResults") -> list[str]:
    """Each failure reason once, most frequent first, with its trials."""
    by_reason: dict[tuple[str, str], list[int]] = defaultdict(list)
    for trial in found.trials:
        if trial.state in ("failed", "infeasible"):
            by_reason[trial.state, trial.reason.strip()].append(trial.number)
    lines = []
    for (state, reason), numbers in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        named = ", ".join(map(str, numbers[:_TRIALS_NAMED])) + (", ..." if len(numbers) > _TRIALS_NAMED else "")
        lines.append(f"{state}, {len(numbers)} times (trial {named}): {reason or 'no reason given'}")
    return ["", *lines] if lines else []

"""Table of each parameter's effect on the objective."""

import logging
from typing import TYPE_CHECKING

from pydantic import SerializeAsAny

from cli.display import formatting
from cli.display.output import say
from trainables.config.base import Config
from tuning.selection.results import StudyResults
from tuning.storage.record import StudyRecord

if TYPE_CHECKING:
    from tuning.selection.importance import Importance, ParameterImportance, Share

_VALUES_SHOWN = 3


class ExplainedResults(StudyResults):
    """A study's results with parameter importance."""

    importance: SerializeAsAny[Config]
    """A `tuning.selection.importance.Importance`."""


def with_importance(results: StudyResults, importance: "Importance") -> ExplainedResults:
    """Both in one object for JSON."""
    return ExplainedResults(**dict(results), importance=importance)


def explained(record: StudyRecord) -> "Importance":
    """`tuning.selection.importance.explain` without Optuna's log messages."""
    from tuning.selection.importance import explain

    logging.getLogger("optuna").setLevel(logging.WARNING)
    return explain(record)


def print_importance(importance: "Importance") -> None:
    """Print the parameters, most important first, with their best values."""
    from rich.table import Table

    from cli.display.output import console

    note = f": {importance.note}" if importance.note else ""
    say(f"\nparameter importance over {importance.trials} trials{note}")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("parameter", "importance", "variance", "correlation"):
        table.add_column(heading, justify="left" if heading == "parameter" else "right", no_wrap=True)
    table.add_column(f"mean {importance.objective} by value", overflow="fold")
    for parameter in importance.parameters:
        table.add_row(*_row(importance.objective, parameter))
    console().print(table)


def _row(objective: str, parameter: "ParameterImportance") -> tuple[str, ...]:
    correlation = "-" if parameter.correlation is None else f"{parameter.correlation:+.2f}"
    best = (
        f"{_value(one.value)}: {formatting.metric(objective, one.mean)} ({one.trials})"
        for one in parameter.values[:_VALUES_SHOWN]
    )
    return parameter.path, _share(parameter.importance), _share(parameter.variance), correlation, ", ".join(best)


def _share(share: "Share | None") -> str:
    if share is None:
        return "-"
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"


def _value(value: object) -> str:
    if isinstance(value, list | tuple) and len(value) == 2:
        return f"{formatting.number(value[0])} to {formatting.number(value[1])}"
    return formatting.number(value)

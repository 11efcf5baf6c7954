"""Formats numbers, times and parameters for display."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cli.display.output import visible_in_line
from tuning.storage.journal import TrialState

STATES: dict[TrialState, str] = {
    "running": "running",
    "completed": "completed",
    "stopped": "stopped early",
    "failed": "failed",
    "infeasible": "infeasible",
    "proposed": "waiting",
}
"""Display name of each trial state, in display order."""


def metric(name: str, value: float | None) -> str:
    """A metric: accuracies in percent, others with four significant digits, `-` for None."""
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if name.endswith("accuracy") else f"{value:.4g}"


def interval(low: float, high: float) -> str:
    """A 95 % interval of an accuracy."""
    return f"95 % interval {100 * low:.2f} to {100 * high:.2f} %"


def sizes(size: Mapping[str, int]) -> str:
    """`5,010 parameters, 102,400 macs`: a model's cost per image."""
    return ", ".join(f"{size[name]:,} {name}" for name in ("parameters", "macs") if name in size) or "size unknown"


def duration(seconds: float) -> str:
    """`4.2s`, `3m05s`, `2h07m`, `3d04h`."""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 24 else f"{hours // 24}d{hours % 24:02d}h"


def number(value: object) -> str:
    """A parameter's value on one line; floats with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else visible_in_line(str(value))


def parameters(params: Mapping[str, Any]) -> str:
    """`filters=32 learning_rate=0.001`, with paths shortened where unambiguous."""
    short = short_names(params)
    return " ".join(f"{short[path]}={number(value)}" for path, value in params.items())


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Each path to its last part, `optimizer.name` to `optimizer`, or to itself if the short name is not unique."""
    short = {path: _last_part(path) for path in paths}
    alike = Counter(short.values())
    return {path: name if alike[name] == 1 else path for path, name in short.items()}


def _last_part(path: str) -> str:
    section, _, field = path.rpartition(".")
    return section if field == "name" and section else field


def counts(by_state: Mapping[TrialState, int]) -> str:
    """`12 completed, 3 stopped early, 1 failed`, without zero counts."""
    return ", ".join(f"{by_state[state]} {word}" for state, word in STATES.items() if by_state.get(state)) or "none yet"

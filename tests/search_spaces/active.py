"""The values that a search would draw, out of values for every parameter."""

from collections.abc import Mapping

from search_spaces.composition import is_active, parameter_order
from search_spaces.schema import StudyConfig, Value


def active_values(study: StudyConfig, values: Mapping[str, Value]) -> dict[str, Value]:
    """The subset of `values` whose parameters are active, in the order of `parameter_order`."""
    active: dict[str, Value] = {}
    for path in parameter_order(study):
        if path in values and is_active(study, path, active):
            active[path] = values[path]
    return active

"""Counts and indexes the configurations of a discrete space without listing them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from random import Random

from search_spaces.composition import allowed_values, base_value
from search_spaces.schema import Value
from trainables.errors import InputError
from tuning.search.space import Domain, Space

_MAX_ADDITIONS = 500_000
"""Limit on additions while counting a space. Real spaces take a few hundred; twenty parameters that each depend on a
different one take 2**20."""

_Missing = frozenset[int]
"""Positions of later parameters that the values chosen so far rule out."""


@dataclass(frozen=True)
class _Run:
    """Adjacent values of a parameter that have the same effect on later parameters."""

    start: int
    """Index of the first."""
    length: int
    rules_out: _Missing


class Grid:
    """The configurations of a discrete space in lexicographic order, without inactive conditional parameters."""

    def __init__(self, space: Space) -> None:
        """The space must be discrete (`Space.is_discrete`).

        Raises:
            InputError: too many interacting conditions to count the configurations.
        """
        self._order = space.order
        self._domains = [space.domains[path] for path in space.order]
        self._dependents = _dependents(space)
        self._runs = [_runs(space, position, later) for position, later in enumerate(self._dependents)]
        self._kinds = [_kinds(runs) for runs in self._runs]
        self._counts: dict[tuple[int, _Missing], int] = {}
        self._additions = 0
        self._never = _never(space)
        self.size = self._count(0, self._never)
        """Number of configurations, exact."""

    def __getitem__(self, index: int) -> dict[str, Value]:
        """Values of the active parameters of configuration `index`."""
        if not 0 <= index < self.size:
            raise IndexError(f"configuration {index} of {self.size}")
        values: dict[str, Value] = {}
        missing = self._never
        for position, path in enumerate(self._order):
            if position in missing:
                missing |= self._dependents[position]
                continue
            which, missing, index = self._choose(position, missing, index)
            known = self._domains[position].values
            assert known is not None, "the space is discrete"
            values[path] = known[which]
        return values

    def shuffled(self, seed: int) -> Iterator[dict[str, Value]]:
        """Every configuration once, in random order; memory grows with the configurations yielded."""
        random = Random(seed)
        passed: set[int] = set()
        while len(passed) < self.size:
            index = random.randrange(self.size)
            if index not in passed:
                passed.add(index)
                yield self[index]

    def _choose(self, position: int, missing: _Missing, index: int) -> tuple[int, _Missing, int]:
        """The parameter's value index in configuration `index`, the parameters missing then, the remaining index."""
        for run in self._runs[position]:
            then = missing | run.rules_out
            each = self._count(position + 1, then)
            if index < run.length * each:
                which, index = divmod(index, each)
                return run.start + which, then, index
            index -= run.length * each
        raise AssertionError("the counts of a parameter's values add up to the parameter's count")

    def _count(self, position: int, missing: _Missing) -> int:
        """Number of ways to fill the parameters from `position` on."""
        if position == len(self._order):
            return 1
        key = (position, frozenset(later for later in missing if later >= position))
        if key not in self._counts:
            self._counts[key] = self._count_afresh(*key)
        return self._counts[key]

    def _count_afresh(self, position: int, missing: _Missing) -> int:
        if position in missing:
            return self._count(position + 1, missing | self._dependents[position])
        self._additions += len(self._kinds[position])
        if self._additions > _MAX_ADDITIONS:
            raise InputError(
                "space: too many parameters with `when` depend on different parameters, so the configurations "
                "cannot be counted; make them depend on the same few, or use fewer of them"
            )
        return sum(
            times * self._count(position + 1, missing | rules_out) for rules_out, times in self._kinds[position].items()
        )


def _dependents(space: Space) -> list[_Missing]:
    """For each parameter, the parameters whose `when` names it."""
    conditions = [space.study.space[path].when or {} for path in space.order]
    return [frozenset(later for later, condition in enumerate(conditions) if path in condition) for path in space.order]


def _never(space: Space) -> _Missing:
    """Parameters whose `when` is never met because a base field that does not vary has another value."""
    conditions = [space.study.space[path].when or {} for path in space.order]
    return frozenset(
        position
        for position, condition in enumerate(conditions)
        if any(
            key not in space.study.space and base_value(space.study, key) not in allowed_values(allowed)
            for key, allowed in condition.items()
        )
    )


def _runs(space: Space, position: int, dependents: _Missing) -> list[_Run]:
    """The parameter's values in order, split into runs only at the values that conditions name."""
    path = space.order[position]
    domain = space.domains[path]
    assert domain.values is not None, "the space is discrete"
    asked = {later: _indices(domain, space, later, path) for later in dependents}
    total = len(domain.values)
    named = sorted(set().union(*asked.values()))
    bounds = [edge for index in named for edge in (index, index + 1)]
    starts = sorted({0, *bounds} - {total})
    runs = [
        _Run(start, end - start, frozenset(later for later in dependents if start not in asked[later]))
        for start, end in zip(starts, [*starts[1:], total], strict=True)
    ]
    return [_joined(list(alike)) for _, alike in groupby(runs, key=lambda run: run.rules_out)]


def _indices(domain: Domain, space: Space, later: int, path: str) -> set[int]:
    """Indices of the values of `path` for which the parameter `later` exists."""
    allowed = allowed_values((space.study.space[space.order[later]].when or {})[path])
    return {index for value in allowed for index in domain.indices(value)}


def _joined(runs: list[_Run]) -> _Run:
    return _Run(runs[0].start, sum(run.length for run in runs), runs[0].rules_out)


def _kinds(runs: list[_Run]) -> Counter[_Missing]:
    """Number of values by the set of parameters that they rule out."""
    kinds: Counter[_Missing] = Counter()
    for run in runs:
        kinds[run.rules_out] += run.length
    return kinds

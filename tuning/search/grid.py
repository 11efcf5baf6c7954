"""Every configuration of a discrete space, counted and numbered without being listed."""

from collections.abc import Iterator, Sequence
from random import Random

from search_spaces.composition import is_active
from search_spaces.schema import Value
from tuning.search.space import Space

_Controls = tuple[tuple[str, Value], ...]
"""Values chosen so far for the parameters that conditions further on ask for."""


class Grid:
    """The configurations of a discrete space in lexicographic order; parameters under `when` only where they exist."""

    def __init__(self, space: Space) -> None:
        """The space must be discrete (`Space.is_discrete`)."""
        self._space = space
        self._values: list[Sequence[Value]] = []
        for path in space.order:
            values = space.domains[path].values
            assert values is not None
            self._values.append(values)
        self._last_use = {
            key: index for index, path in enumerate(space.order) for key in space.study.space[path].when or {}
        }
        self._counts: dict[tuple[int, str], int] = {}
        self.size = self._count(0, ())
        """Number of configurations, exact."""

    def __getitem__(self, index: int) -> dict[str, Value]:
        """Values of the active parameters of configuration `index`."""
        if not 0 <= index < self.size:
            raise IndexError(f"configuration {index} of {self.size}")
        values: dict[str, Value] = {}
        controls: _Controls = ()
        for position, path in enumerate(self._space.order):
            if not self._is_active(position, controls):
                continue
            values[path], controls, index = self._choose(position, controls, index)
        return values

    def shuffled(self, seed: int) -> Iterator[dict[str, Value]]:
        """Every configuration once, in a random order; needs memory for those passed only."""
        random = Random(seed)
        passed: set[int] = set()
        while len(passed) < self.size:
            index = random.randrange(self.size)
            if index not in passed:
                passed.add(index)
                yield self[index]

    def _choose(self, position: int, controls: _Controls, index: int) -> tuple[Value, _Controls, int]:
        """The parameter's value in configuration `index` of what is left, and what is left then."""
        if self._space.order[position] not in self._last_use:
            which, index = divmod(index, self._count(position + 1, controls))
            return self._values[position][which], controls, index
        for value in self._values[position]:
            chosen = self._with(controls, position, value)
            count = self._count(position + 1, chosen)
            if index < count:
                return value, chosen, index
            index -= count
        raise AssertionError("the counts of a parameter's values add up to that of the parameter")

    def _count(self, position: int, controls: _Controls) -> int:
        """Number of ways to fill the parameters from `position` on."""
        if position == len(self._space.order):
            return 1
        relevant = tuple(pair for pair in controls if self._last_use[pair[0]] >= position)
        key = (position, repr(relevant))
        if key not in self._counts:
            self._counts[key] = self._count_afresh(position, relevant)
        return self._counts[key]

    def _count_afresh(self, position: int, controls: _Controls) -> int:
        if not self._is_active(position, controls):
            return self._count(position + 1, controls)
        if self._space.order[position] not in self._last_use:
            return len(self._values[position]) * self._count(position + 1, controls)
        return sum(self._count(position + 1, self._with(controls, position, value)) for value in self._values[position])

    def _is_active(self, position: int, controls: _Controls) -> bool:
        return is_active(self._space.study, self._space.order[position], dict(controls))

    def _with(self, controls: _Controls, position: int, value: Value) -> _Controls:
        path = self._space.order[position]
        return (*controls, (path, value)) if path in self._last_use else controls

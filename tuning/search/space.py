"""The study's search space as Optuna distributions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, overload

import optuna
from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.composition import comparable, is_active, parameter_kind, parameter_order
from search_spaces.schema import Parameter, StudyConfig, Value
from trainables.config import TrialConfig

optuna.logging.set_verbosity(optuna.logging.ERROR)  # otherwise it logs every in-memory study


class Steps(Sequence[float]):
    """Multiples of a step in exact decimals: 0.3, not 0.30000000000000004. Computed on access."""

    def __init__(self, low: float, high: float, step: float) -> None:
        self._start, self._distance = Decimal(str(low)), Decimal(str(step))
        self._count = int((Decimal(str(high)) - self._start) / self._distance) + 1

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        if isinstance(index, slice):
            return [self[each] for each in range(self._count)[index]]
        return float(self._start + range(self._count)[index] * self._distance)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self._nearest(value) is not None

    def index(self, value: float, start: int = 0, stop: int | None = None) -> int:
        """Index of the value.

        Raises:
            ValueError: it is not one of the steps.
        """
        nearest = self._nearest(value)
        if nearest is None or nearest not in range(self._count)[start:stop]:
            raise ValueError(f"{value} is not among the steps")
        return nearest

    def _nearest(self, value: float) -> int | None:
        nearest = round((Decimal(str(float(value))) - self._start) / self._distance)
        return nearest if 0 <= nearest < self._count and self[nearest] == value else None


@dataclass(frozen=True)
class Domain:
    """The allowed values of one parameter.

    Optuna's categories must be scalars, and its stepped floats have rounding errors. So for choices and stepped floats
    Optuna sees only the index into `values`.
    """

    distribution: BaseDistribution
    values: Sequence[Value] | None
    """Every value in order; None for a continuous range."""

    def suggest(self, trial: Trial, name: str) -> Value:
        """Have Optuna choose a value for the parameter `name` of `trial`."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return self._decode(trial.suggest_categorical(name, range(len(distribution.choices))))
        if isinstance(distribution, IntDistribution):
            low, high, step, log = distribution.low, distribution.high, distribution.step, distribution.log
            return self._decode(trial.suggest_int(name, low, high, step=step, log=log))
        assert isinstance(distribution, FloatDistribution)
        return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)

    def encode(self, value: Value) -> int | float | None:
        """Optuna's representation of `value`; None if the value is outside the domain."""
        if self.values is None:
            assert isinstance(self.distribution, FloatDistribution)
            if not isinstance(value, int | float) or isinstance(value, bool):
                return None
            return float(value) if self.distribution.low <= value <= self.distribution.high else None
        if isinstance(self.values, range):
            return value if isinstance(value, int) and not isinstance(value, bool) and value in self.values else None
        return next((index for index in self.indices(value) if _same(self.values[index], value)), None)

    def indices(self, value: Value) -> Sequence[int]:
        """Indices in `values` of all values equal to `value` by Python's rules: true equals 1, as in `when`."""
        if isinstance(self.values, range | Steps):
            known: Sequence[int | float] = self.values
            return (known.index(value),) if isinstance(value, int | float) and value in known else ()
        return self._places.get(comparable(value), ())

    @cached_property
    def _places(self) -> dict[Any, list[int]]:
        places: dict[Any, list[int]] = {}
        for index, value in enumerate(self.values or ()):
            places.setdefault(comparable(value), []).append(index)
        return places

    def _decode(self, drawn: int) -> Value:
        return drawn if self.values is None or isinstance(self.values, range) else self.values[drawn]


class Space:
    """The parameters that vary, ordered so that each comes after those named in its `when`."""

    def __init__(self, study: StudyConfig) -> None:
        self.study = study
        self.order = parameter_order(study)
        self.domains: Mapping[str, Domain] = {path: make_domain(path, study.space[path]) for path in self.order}

    @property
    def is_discrete(self) -> bool:
        """Whether every parameter has a finite set of values."""
        return all(domain.values is not None for domain in self.domains.values())

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Have Optuna choose a value for each parameter that exists given the values before it."""
        values: dict[str, Value] = {}
        for path in self.order:
            if is_active(self.study, path, values):
                values[path] = self.domains[path].suggest(trial, path)
        return values

    def encode(self, values: Mapping[str, Value]) -> dict[str, int | float] | None:
        """Optuna's representation of the active `values`; None if one is missing or outside its domain."""
        encoded: dict[str, int | float] = {}
        for path in self.order:
            if not is_active(self.study, path, values):
                continue
            code = self.domains[path].encode(values[path]) if path in values else None
            if code is None:
                return None
            encoded[path] = code
        return encoded

    def values_of(self, config: TrialConfig) -> dict[str, Value]:
        """The value in `config` of each parameter that exists there, whether inside the space or not."""
        content = config.model_dump(mode="json", include={path.partition(".")[0] for path in self.order})
        values: dict[str, Value] = {}
        for path in self.order:
            section, _, field = path.partition(".")
            if is_active(self.study, path, values) and field in content[section]:
                values[path] = content[section][field]
        return values


def make_domain(path: str, parameter: Parameter) -> Domain:
    """The domain of the parameter for the base field `path`."""
    if parameter.choices is not None:
        return Domain(CategoricalDistribution(range(len(parameter.choices))), tuple(parameter.choices))
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter_kind(path) == "int":
        integers = range(int(parameter.low), int(parameter.high) + 1, int(parameter.step or 1))
        return Domain(IntDistribution(integers[0], integers[-1], log=parameter.log, step=integers.step), integers)
    low, high = float(parameter.low), float(parameter.high)
    if parameter.step is None and low < high:
        return Domain(FloatDistribution(low, high, log=parameter.log), None)
    steps = Steps(low, high, parameter.step or 1.0)
    return Domain(IntDistribution(0, len(steps) - 1), steps)


def _same(a: Value, b: Value) -> bool:
    """Equality where 1 equals 1.0 but not true."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)

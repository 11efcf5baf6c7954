"""Which parameters mattered, and which of their values did well. The field names print as JSON."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import FrozenTrial, create_trial
from scipy.stats import spearmanr

from search_spaces.schema import Value
from trainables.config.base import Config
from trainables.config.canonical import canonical_json
from tuning.search.space import Space
from tuning.storage.record import StudyRecord, TrialRecord

MIN_TRIALS = 10
"""With fewer, every parameter's importance would be chance."""

_TOP_SHARE, _TOP_TRIALS = 0.1, 5
"""The best trials are a tenth, and at least this many."""

_RESAMPLES = 20
_TREES, _TREES_OF_RESAMPLES = 64, 8
_BINS = 4


class Share(Config):
    """A share in [0, 1] and how far it is to be believed."""

    value: float
    low: float
    """5th percentile over resampled trials, each with a forest of its own; `high` is the 95th."""
    high: float


class ValueResult(Config):
    """How the trials with one value, or in one range of values, did."""

    value: Any
    """The value; of continuous ranges [from, to]."""
    trials: int
    best: float
    mean: float


class ParameterImportance(Config):
    """What one parameter had to do with the objective."""

    path: str
    trials: int
    """In which it existed; all its numbers are about these."""
    importance: Share | None
    """Share in what sets the best trials apart (PED-ANOVA, aware of conditions); all parameters add up to 1."""
    variance: Share | None
    """Share of the objective's variance that it explains by itself (fANOVA), among the trials in which it existed."""
    correlation: float | None
    """Spearman's rank correlation with the objective; None for categories and constants."""
    values: tuple[ValueResult, ...]
    """Best first."""


class Importance(Config):
    """Explanation of a study so far. Trials stopped early count with their best until then."""

    objective: str
    trials: int
    note: str
    """Why there are no importances; empty where there are."""
    parameters: tuple[ParameterImportance, ...]
    """Most important first."""


def explain(record: StudyRecord) -> Importance:
    """Explain a study by its completed and stopped trials; the confirming ones repeat others and are left out."""
    space = Space(record.config)
    search = record.config.search
    results = [
        (trial, metrics[search.objective])
        for trial in record.ranked
        if trial.source != "confirm" and (metrics := trial.best_metrics(search.ranking)) is not None
    ]
    trials = [_as_optuna(space, trial, value) for trial, value in results]
    inside = [trial for trial in trials if trial is not None]
    enough = len(inside) >= MIN_TRIALS
    importance = _importance(inside, search.mode) if enough else {}
    variances = _variances(inside) if enough else {}
    parameters = [
        ParameterImportance(
            path=path,
            trials=sum(path in trial.params for trial, _ in results),
            importance=importance.get(path),
            variance=variances.get(path),
            correlation=_correlation(space, path, results),
            values=_by_value(space, path, results),
        )
        for path in record.config.space
    ]
    return Importance(
        objective=search.objective,
        trials=len(results),
        note="" if enough else f"importance needs {MIN_TRIALS} trials with a result, there are {len(inside)}",
        parameters=tuple(sorted(parameters, key=lambda one: -one.importance.value if one.importance else 0.0)),
    )


def _as_optuna(space: Space, trial: TrialRecord, value: float) -> FrozenTrial | None:
    """The trial in Optuna's terms; None where its values lie outside of the space."""
    encoded = space.encode(trial.params)
    if encoded is None:
        return None
    distributions = {path: space.domains[path].distribution for path in encoded}
    return create_trial(params=encoded, distributions=distributions, value=value)


def _importance(trials: Sequence[FrozenTrial], mode: str) -> dict[str, Share]:
    """PED-ANOVA: how differently the best trials are distributed over a parameter than all are."""
    top = min(0.5, max(_TOP_SHARE, _TOP_TRIALS / len(trials)))
    direction = "maximize" if mode == "max" else "minimize"
    paths = sorted({path for trial in trials for path in trial.params})
    return _shares(trials, paths, direction, lambda seed: PedAnovaImportanceEvaluator(target_quantile=top))


def _variances(trials: Sequence[FrozenTrial]) -> dict[str, Share]:
    """fANOVA of each parameter among the trials in which it existed, beside whatever existed in all of these."""

    def forest(seed: int) -> BaseImportanceEvaluator:
        return FanovaImportanceEvaluator(n_trees=_TREES if seed == 0 else _TREES_OF_RESAMPLES, seed=seed)

    shares: dict[str, Share] = {}
    for path in sorted({path for trial in trials for path in trial.params}):
        present = [trial for trial in trials if path in trial.params]
        if path in shares or len(present) < MIN_TRIALS:
            continue
        common = sorted(set.intersection(*(set(trial.params) for trial in present)))
        found = _shares(present, common, "maximize", forest)
        shares |= {other: found[other] for other in common if _existed(other, trials) == len(present)}
    return shares


def _existed(path: str, trials: Sequence[FrozenTrial]) -> int:
    return sum(path in trial.params for trial in trials)


def _shares(
    trials: Sequence[FrozenTrial], paths: list[str], direction: Any, evaluator: Callable[[int], BaseImportanceEvaluator]
) -> dict[str, Share]:
    """Importances of the trials, and their spread over trials drawn from them with replacement."""
    random = np.random.default_rng(0)
    draws = [list(trials), *(list(random.choice(np.array(trials), len(trials))) for _ in range(_RESAMPLES))]
    values = [_evaluate(draw, paths, direction, evaluator(seed)) for seed, draw in enumerate(draws)]
    shares = {}
    for path in paths:
        low, high = np.percentile([one.get(path, 0.0) for one in values[1:]], (5, 95))
        shares[path] = Share(value=round(values[0][path], 4), low=round(float(low), 4), high=round(float(high), 4))
    return shares


def _evaluate(
    trials: list[FrozenTrial], paths: list[str], direction: Any, evaluator: BaseImportanceEvaluator
) -> dict[str, float]:
    study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    present = {path for trial in trials for path in trial.params}
    wanted = [path for path in paths if path in present]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # few trials under a condition: the spread shows it
        return get_param_importances(study, evaluator=evaluator, params=wanted)


def _correlation(space: Space, path: str, results: Sequence[tuple[TrialRecord, float]]) -> float | None:
    pairs = [(trial.params[path], value) for trial, value in results if path in trial.params]
    is_number = all(isinstance(one, int | float) and not isinstance(one, bool) for one, _ in pairs)
    if not is_number or len({one for one, _ in pairs}) < 2 or len({value for _, value in pairs}) < 2:
        return None
    return round(float(spearmanr([one for one, _ in pairs], [value for _, value in pairs]).statistic), 4)


def _by_value(space: Space, path: str, results: Sequence[tuple[TrialRecord, float]]) -> tuple[ValueResult, ...]:
    """Results by value, or by quarters of the trials where a range has more values than that."""
    pairs = [(trial.params[path], value) for trial, value in results if path in trial.params]
    values = space.domains[path].values
    is_range = space.study.space[path].choices is None
    many = is_range and (values is None or len(values) > 2 * _BINS)
    groups = _quarters(pairs) if many else _same_values(pairs)
    best = max if space.study.search.mode == "max" else min
    found = [
        ValueResult(value=value, trials=len(group), best=best(group), mean=round(float(np.mean(group)), 6))
        for value, group in groups
    ]
    return tuple(sorted(found, key=lambda one: one.best, reverse=space.study.search.mode == "max"))


def _same_values(pairs: Sequence[tuple[Value, float]]) -> list[tuple[Value, list[float]]]:
    groups: dict[str, tuple[Value, list[float]]] = {}
    for value, result in pairs:
        groups.setdefault(canonical_json(value), (value, []))[1].append(result)
    return list(groups.values())


def _quarters(pairs: Sequence[tuple[Any, float]]) -> list[tuple[Value, list[float]]]:
    ordered = sorted(pairs, key=lambda pair: pair[0])
    pieces = [piece for piece in np.array_split(np.arange(len(ordered)), _BINS) if len(piece)]
    return [([ordered[piece[0]][0], ordered[piece[-1]][0]], [ordered[index][1] for index in piece]) for piece in pieces]

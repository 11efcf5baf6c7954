"""Searchers: Optuna's samplers and an exact grid behind one small interface."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from search_spaces.schema import StudyConfig, Value
from search_spaces.search_options import CmaEsConfig, GpConfig, GridConfig, Nsga2Config, RandomConfig, TpeConfig
from tuning.search.grid import Grid
from tuning.search.space import Space
from tuning.storage import journal


@dataclass(frozen=True)
class Draw:
    """Values for the active parameters, not yet a trial."""

    values: dict[str, Value]
    handle: Trial | None = None
    """Optuna's trial, if its sampler keeps state on it."""


class Searcher(Protocol):
    """Proposes values and is told the results."""

    @property
    def attempts(self) -> int | None:
        """How many of its draws per `ask` may be known already before other sources are used; None: no limit."""

    def draw(self, seed: int, attempt: int = 0) -> Draw | None:
        """Propose values, the same for the same history and seed; None when there are no more.

        `attempt` counts the draws in this `ask` that were tried before; from `attempts` on, any new values will do.
        """

    def accept(self, number: int, draw: Draw, seed: int) -> None:
        """The draw runs as trial `number`. It may come from an earlier driver."""

    def reject(self, draw: Draw) -> None:
        """The draw is not run because it was tried before."""

    def observe(self, number: int, epoch: int, best: float) -> None:
        """The trial has finished `epoch`; `best` is its best objective so far."""

    def finish(self, number: int, state: journal.TrialState, values: Sequence[float] | None) -> None:
        """The trial has ended; `values` are its objectives, None if it ended before its first epoch."""


def make_searcher(space: Space) -> Searcher:
    """The searcher that `search.searcher` names."""
    match space.study.search.searcher:
        case GridConfig():
            return GridSearcher(space)
        case CmaEsConfig() | Nsga2Config():
            return EvolutionSearcher(space)
    return ModelSearcher(space)


class GridSearcher:
    """Every configuration once, shuffled by the study's seed."""

    attempts: int | None = None

    def __init__(self, space: Space) -> None:
        self._configurations = Grid(space).shuffled(space.study.search.seed)

    def draw(self, seed: int, attempt: int = 0) -> Draw | None:
        """The next configuration; the study's seed sets the order, so `seed` is ignored."""
        values = next(self._configurations, None)
        return None if values is None else Draw(values)

    def accept(self, number: int, draw: Draw, seed: int) -> None:
        """Nothing to learn."""

    def reject(self, draw: Draw) -> None:
        """Nothing to learn."""

    def observe(self, number: int, epoch: int, best: float) -> None:
        """Nothing to learn."""

    def finish(self, number: int, state: journal.TrialState, values: Sequence[float] | None) -> None:
        """Nothing to learn."""


class ModelSearcher:
    """Samplers whose proposals depend only on the known trials: tpe, gp, random."""

    attempts: int | None = 10

    def __init__(self, space: Space) -> None:
        self._space = space
        self._is_tpe = isinstance(space.study.search.searcher, TpeConfig)
        self._is_random = isinstance(space.study.search.searcher, RandomConfig)
        self._parameters: dict[int, dict[str, int | float]] = {}
        self._reports: dict[int, dict[int, float]] = {}
        self._trials: dict[int, FrozenTrial] = {}
        self._optuna: Study | None = None
        """Holds `_trials`; None after they have changed."""

    def draw(self, seed: int, attempt: int = 0) -> Draw:
        """Propose values with a new sampler; its knowledge is in the study, its randomness in the seed."""
        if self._optuna is None:
            self._optuna = _make_study(self._space.study)
            self._optuna.add_trials(self._trials.values())
        self._optuna.sampler = self._sampler(seed, attempt)
        trial = self._optuna.ask()
        values = self._space.suggest(trial)
        self._optuna.tell(trial, state=TrialState.FAIL)  # invisible to every sampler
        return Draw(values)

    def accept(self, number: int, draw: Draw, seed: int) -> None:
        """Note a running trial; the sampler ignores values outside the space."""
        encoded = self._space.encode(draw.values)
        if encoded is not None and not self._is_random:
            self._parameters[number] = encoded
            self._reports[number] = {}
            self._learn(number, TrialState.RUNNING)

    def reject(self, draw: Draw) -> None:
        """Nothing to learn: the configuration is known already."""

    def observe(self, number: int, epoch: int, best: float) -> None:
        """Note a running trial's progress.

        TPE treats a running trial as bad so that other workers try something else. That is wrong for a trial that the
        scheduler keeps because it does well, so from its first epoch on it ranks with trials stopped at its current
        epoch. (On the digits table with 16 workers and ASHA, this finds the best in 60 % of the epochs.)
        """
        if number in self._parameters and self._space.study.search.second_objective is None:
            self._reports[number] = {epoch: best}  # TPE uses only the latest, and Optuna copies the dict
            self._learn(number, TrialState.PRUNED if self._is_tpe else TrialState.RUNNING)

    def finish(self, number: int, state: journal.TrialState, values: Sequence[float] | None) -> None:
        """Note a result. TPE ranks stopped trials by their last epoch; other samplers take their best value."""
        if number not in self._parameters:
            return
        if state == "infeasible" and self._is_tpe:
            self._learn(number, TrialState.PRUNED, constraints={"feasible": 1.0})  # above 0: violated
        elif state in ("failed", "infeasible") or values is None:
            self._learn(number, TrialState.FAIL)
        elif state == "stopped" and self._is_tpe and len(values) == 1:
            self._learn(number, TrialState.PRUNED)
        else:
            self._learn(number, TrialState.COMPLETE, values=values)

    def _learn(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None = None,
        constraints: dict[str, float] | None = None,
    ) -> None:
        parameters = self._parameters[number]
        trial = create_trial(
            state=state,
            params=parameters,
            distributions={path: self._space.domains[path].distribution for path in parameters},
            intermediate_values=self._reports[number],
            values=values,
            constraints=constraints,
        )
        if self._optuna is not None and number not in self._trials:
            self._optuna.add_trial(trial)
        else:
            self._optuna = None  # Optuna's finished trials cannot be changed
        self._trials[number] = trial

    def _sampler(self, seed: int, attempt: int) -> BaseSampler:
        options = self._space.study.search.searcher
        if self._is_random or (self.attempts is not None and attempt >= self.attempts):
            return RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            if isinstance(options, GpConfig):
                return GPSampler(n_startup_trials=options.startup_trials, seed=seed, warn_independent_sampling=False)
            assert isinstance(options, TpeConfig)
            return TPESampler(
                n_startup_trials=options.startup_trials,
                # The best of many candidates would be the same each time. A single draw from the model of good trials
                # varies, and after the favorite was tried it takes half the epochs that random draws take.
                n_ei_candidates=1 if attempt else 24,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            )


class EvolutionSearcher:
    """Samplers that store their state on the trials that they draw: cma_es, nsga2.

    Their trials stay in Optuna's study. Trials drawn elsewhere, for example by an earlier driver, are drawn again with
    the same values, so that they carry the state of their generation.
    """

    attempts: int | None = 10

    def __init__(self, space: Space) -> None:
        self._space = space
        self._optuna = _make_study(space.study)
        self._trials: dict[int, Trial] = {}

    def draw(self, seed: int, attempt: int = 0) -> Draw:
        """Propose values with a new sampler; its knowledge is in the study, its randomness in the seed."""
        is_random = self.attempts is not None and attempt >= self.attempts
        self._optuna.sampler = RandomSampler(seed=seed) if is_random else self._sampler(seed)
        trial = self._optuna.ask()
        return Draw(self._space.suggest(trial), trial)

    def accept(self, number: int, draw: Draw, seed: int) -> None:
        """Keep Optuna's trial for this number; the sampler ignores values outside the space."""
        trial = draw.handle or self._drawn_again(draw.values, seed)
        if trial is not None:
            self._trials[number] = trial

    def reject(self, draw: Draw) -> None:
        """Mark it failed, which every sampler ignores: the study has the configuration already."""
        if draw.handle is not None:
            self._optuna.tell(draw.handle, state=TrialState.FAIL)

    def observe(self, number: int, epoch: int, best: float) -> None:
        """Nothing to learn: these samplers use only final results."""

    def finish(self, number: int, state: journal.TrialState, values: Sequence[float] | None) -> None:
        """Tell Optuna; a stopped trial counts with its best value."""
        trial = self._trials.pop(number, None)
        if trial is None:
            return
        if state in ("failed", "infeasible") or values is None:
            self._optuna.tell(trial, state=TrialState.FAIL)
        else:
            self._optuna.tell(trial, values)

    def _drawn_again(self, values: Mapping[str, Value], seed: int) -> Trial | None:
        encoded = self._space.encode(values)
        if encoded is None:
            return None
        self._optuna.sampler = self._sampler(seed)
        self._optuna.enqueue_trial(encoded)
        trial = self._optuna.ask()
        _ = trial.relative_params  # evaluated lazily; drawing is what marks the trial
        self._space.suggest(trial)
        return trial

    def _sampler(self, seed: int) -> BaseSampler:
        options = self._space.study.search.searcher
        if isinstance(options, Nsga2Config):
            return NSGAIISampler(population_size=options.population, seed=seed)
        assert isinstance(options, CmaEsConfig)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # with_margin
            return CmaEsSampler(
                popsize=options.population, with_margin=True, seed=seed, warn_independent_sampling=False
            )


def _make_study(study: StudyConfig) -> Study:
    """An empty Optuna study in memory."""
    directions = [StudyDirection.MAXIMIZE if study.search.mode == "max" else StudyDirection.MINIMIZE]
    directions += [StudyDirection.MINIMIZE] if study.search.second_objective else []
    return optuna.create_study(directions=directions)

"""What to try next: Optuna's samplers and an exact grid behind one small interface."""

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
    """Optuna's trial, where its sampler has marked it."""


class Searcher(Protocol):
    """Proposes values and is told what came of them."""

    @property
    def attempts(self) -> int | None:
        """How often in a question its own draws may be known already; None: until it has nothing more."""

    def draw(self, seed: int, attempt: int = 0) -> Draw | None:
        """Propose values, the same for the same past and seed; None when there is nothing more to propose.

        `attempt` counts the draws in this question that were tried before; from `attempts` on any new values will do.
        """

    def accept(self, number: int, draw: Draw, seed: int) -> None:
        """The draw, which may have been made elsewhere, runs as trial `number`."""

    def reject(self, draw: Draw) -> None:
        """The draw is not run: it was tried before."""

    def observe(self, number: int, epoch: int, best: float) -> None:
        """The trial has come to `epoch`; `best` is its best objective so far."""

    def finish(self, number: int, state: journal.TrialState, values: Sequence[float] | None) -> None:
        """The trial is over; `values` are its objectives, None where it ended before its first epoch."""


def make_searcher(space: Space) -> Searcher:
    """The searcher that `search.searcher` names."""
    match space.study.search.searcher:
        case GridConfig():
            return GridSearcher(space)
        case CmaEsConfig() | Nsga2Config():
            return EvolutionSearcher(space)
    return ModelSearcher(space)


class GridSearcher:
    """Every configuration once, in an order shuffled by the study's seed."""

    attempts: int | None = None

    def __init__(self, space: Space) -> None:
        self._configurations = Grid(space).shuffled(space.study.search.seed)

    def draw(self, seed: int, attempt: int = 0) -> Draw | None:
        """The next configuration; the study's own seed has decided the order."""
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
    """Samplers whose proposals depend on the known trials alone: tpe, gp, random."""

    attempts: int | None = 10

    def __init__(self, space: Space) -> None:
        self._space = space
        self._is_tpe = isinstance(space.study.search.searcher, TpeConfig)
        self._is_random = isinstance(space.study.search.searcher, RandomConfig)
        self._parameters: dict[int, dict[str, int | float]] = {}
        self._reports: dict[int, dict[int, float]] = {}
        self._trials: dict[int, FrozenTrial] = {}
        self._optuna: Study | None = None
        """Of `_trials`; None when these have changed."""

    def draw(self, seed: int, attempt: int = 0) -> Draw:
        """Propose values from a sampler made anew: what it knows is in the study, its chance in the seed."""
        if self._optuna is None:
            self._optuna = _make_study(self._space.study)
            self._optuna.add_trials(self._trials.values())
        self._optuna.sampler = self._sampler(seed, attempt)
        trial = self._optuna.ask()
        values = self._space.suggest(trial)
        self._optuna.tell(trial, state=TrialState.FAIL)  # invisible to every sampler
        return Draw(values)

    def accept(self, number: int, draw: Draw, seed: int) -> None:
        """Take note of a running trial; values from outside of the space are none of the sampler's business."""
        encoded = self._space.encode(draw.values)
        if encoded is not None and not self._is_random:
            self._parameters[number] = encoded
            self._reports[number] = {}
            self._learn(number, TrialState.RUNNING)

    def reject(self, draw: Draw) -> None:
        """Nothing to learn: what is known of the configuration is known already."""

    def observe(self, number: int, epoch: int, best: float) -> None:
        """Take note of a running trial's progress.

        To TPE a running trial is a bad one, lest others try the same. That is wrong of one which the scheduler keeps
        because it does well; so from its first epoch on it ranks with those stopped where it is now. (On the digits
        table, with 16 workers and ASHA, the best is found in six tenths of the epochs.)
        """
        if number in self._parameters and self._space.study.search.second_objective is None:
            self._reports[number] = {epoch: best}  # all that TPE looks at, and Optuna copies what it is given
            self._learn(number, TrialState.PRUNED if self._is_tpe else TrialState.RUNNING)

    def finish(self, number: int, state: journal.TrialState, values: Sequence[float] | None) -> None:
        """Take note of a result. TPE ranks stopped trials by how far they came; others take their best until then."""
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
                # Again and again the best of many draws would be the same. One draw from the model of good trials is
                # not: once its favourite was tried, that takes half of the epochs of drawing at random instead.
                n_ei_candidates=1 if attempt else 24,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            )


class EvolutionSearcher:
    """Samplers that write their state on the trials that they draw: cma_es, nsga2.

    Their trials live on in Optuna's study. Trials drawn elsewhere, in an earlier driver for example, are drawn again
    with the values that they had, so that they bear the marks of their generation.
    """

    attempts: int | None = 10

    def __init__(self, space: Space) -> None:
        self._space = space
        self._optuna = _make_study(space.study)
        self._trials: dict[int, Trial] = {}

    def draw(self, seed: int, attempt: int = 0) -> Draw:
        """Propose values from a sampler made anew: what it knows is in the study, its chance in the seed."""
        is_random = self.attempts is not None and attempt >= self.attempts
        self._optuna.sampler = RandomSampler(seed=seed) if is_random else self._sampler(seed)
        trial = self._optuna.ask()
        return Draw(self._space.suggest(trial), trial)

    def accept(self, number: int, draw: Draw, seed: int) -> None:
        """Keep Optuna's trial as the number's; values from outside of the space are none of the sampler's business."""
        trial = draw.handle or self._drawn_again(draw.values, seed)
        if trial is not None:
            self._trials[number] = trial

    def reject(self, draw: Draw) -> None:
        """Failed trials are invisible to every sampler: what is known of the configuration is in the study already."""
        if draw.handle is not None:
            self._optuna.tell(draw.handle, state=TrialState.FAIL)

    def observe(self, number: int, epoch: int, best: float) -> None:
        """Nothing: these samplers look at results alone."""

    def finish(self, number: int, state: journal.TrialState, values: Sequence[float] | None) -> None:
        """Tell Optuna; a trial that was stopped counts with its best until then."""
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
    """An empty study of Optuna's, in memory."""
    directions = [StudyDirection.MAXIMIZE if study.search.mode == "max" else StudyDirection.MINIMIZE]
    directions += [StudyDirection.MINIMIZE] if study.search.second_objective else []
    return optuna.create_study(directions=directions)

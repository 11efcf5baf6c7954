"""What to try next: Optuna's samplers and an exact grid behind one small interface."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from search_spaces.schema import StudyConfig, Value
from search_spaces.search_options import CmaEsConfig, GpConfig, GridConfig, Nsga2Config, RandomConfig, TpeConfig
from tuning import journal
from tuning.domains import Space
from tuning.grid import Grid


@dataclass(frozen=True)
class Draw:
    """Values for the active parameters, not yet a trial."""

    values: dict[str, Value]
    handle: Trial | None = None
    """Optuna's trial, where Optuna drew it."""


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
    if isinstance(space.study.search.searcher, GridConfig):
        return GridSearcher(space)
    return OptunaSearcher(space)


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


@dataclass(frozen=True)
class _Method:
    """How one of Optuna's samplers is used."""

    make: Callable[[StudyConfig, int], BaseSampler]
    make_bolder: Callable[[StudyConfig, int], BaseSampler] | None = None
    """For when what it likes best was tried before; None: the same."""
    understands_pruned: bool = False
    """Ranks trials that the scheduler stopped, and infeasible ones. Others take the best value before the stop."""
    marks_trials: bool = False
    """Writes its state (generation, covariance) on the trials that it draws, so it has to see those drawn elsewhere."""


def _tpe(study: StudyConfig, seed: int, candidates: int = 24) -> BaseSampler:
    options = study.search.searcher
    assert isinstance(options, TpeConfig)
    return TPESampler(
        n_startup_trials=options.startup_trials,
        n_ei_candidates=candidates,
        multivariate=True,
        group=True,
        constant_liar=True,
        seed=seed,
    )


def _bolder_tpe(study: StudyConfig, seed: int) -> BaseSampler:
    """A draw from the model of good trials. Choosing the best of many draws would give the same again and again."""
    return _tpe(study, seed, candidates=1)


def _random(study: StudyConfig, seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _gp(study: StudyConfig, seed: int) -> BaseSampler:
    options = study.search.searcher
    assert isinstance(options, GpConfig)
    return GPSampler(n_startup_trials=options.startup_trials, seed=seed, warn_independent_sampling=False)


def _cma_es(study: StudyConfig, seed: int) -> BaseSampler:
    options = study.search.searcher
    assert isinstance(options, CmaEsConfig)
    return CmaEsSampler(popsize=options.population, with_margin=True, seed=seed, warn_independent_sampling=False)


def _nsga2(study: StudyConfig, seed: int) -> BaseSampler:
    options = study.search.searcher
    assert isinstance(options, Nsga2Config)
    return NSGAIISampler(population_size=options.population, seed=seed)


_METHODS: Mapping[type, _Method] = {
    TpeConfig: _Method(_tpe, _bolder_tpe, understands_pruned=True),
    RandomConfig: _Method(_random),
    GpConfig: _Method(_gp),
    CmaEsConfig: _Method(_cma_es, marks_trials=True),
    Nsga2Config: _Method(_nsga2, marks_trials=True),
}


class OptunaSearcher:
    """One of Optuna's samplers over an in-memory study."""

    attempts: int | None = 10

    def __init__(self, space: Space) -> None:
        self._space = space
        self._method = _METHODS[type(space.study.search.searcher)]
        search = space.study.search
        directions = [StudyDirection.MAXIMIZE if search.mode == "max" else StudyDirection.MINIMIZE]
        directions += [StudyDirection.MINIMIZE] if search.second_objective else []
        self._optuna = optuna.create_study(directions=directions)
        self._has_one_objective = len(directions) == 1
        self._trials: dict[int, Trial] = {}

    def draw(self, seed: int, attempt: int = 0) -> Draw:
        """Propose values. The sampler is made anew each time: what it knows is in the study, its chance in the seed."""
        self._optuna.sampler = self._sampler(seed, attempt)
        trial = self._optuna.ask()
        return Draw(self._space.suggest(trial), trial)

    def accept(self, number: int, draw: Draw, seed: int) -> None:
        """Keep Optuna's trial as the number's; values from outside of the space are none of the sampler's business."""
        trial = draw.handle or self._trial_with(draw.values, seed)
        if trial is not None:
            self._trials[number] = trial

    def reject(self, draw: Draw) -> None:
        """Failed trials are invisible to every sampler: what is known of the configuration is in the study already."""
        if draw.handle is not None:
            self._optuna.tell(draw.handle, state=TrialState.FAIL)

    def observe(self, number: int, epoch: int, best: float) -> None:
        """Report an intermediate value; with two objectives nothing is stopped early and there is none."""
        if number in self._trials and self._has_one_objective:
            self._trials[number].report(best, step=epoch)

    def finish(self, number: int, state: journal.TrialState, values: Sequence[float] | None) -> None:
        """Tell Optuna; a trial that it never heard of is passed over."""
        trial = self._trials.pop(number, None)
        if trial is None:
            return
        if state == "infeasible" and self._method.understands_pruned:
            trial.set_constraint("feasible", 1.0)  # above 0: violated
            self._optuna.tell(trial, state=TrialState.PRUNED)
        elif state in ("failed", "infeasible") or values is None:
            self._optuna.tell(trial, state=TrialState.FAIL)
        elif state == "stopped" and self._method.understands_pruned and self._has_one_objective:
            self._optuna.tell(trial, state=TrialState.PRUNED)
        else:
            self._optuna.tell(trial, values)

    def _trial_with(self, values: Mapping[str, Value], seed: int) -> Trial | None:
        """A trial of Optuna's with these very values; None where they lie outside of the space."""
        encoded = self._space.encode(values)
        if encoded is None:
            return None
        self._optuna.sampler = self._sampler(seed, 0)
        self._optuna.enqueue_trial(encoded)
        trial = self._optuna.ask()
        if self._method.marks_trials:
            _ = trial.relative_params  # evaluated lazily; drawing is what marks the trial
        self._space.suggest(trial)
        return trial

    def _sampler(self, seed: int, attempt: int) -> BaseSampler:
        if self.attempts is not None and attempt >= self.attempts:
            return RandomSampler(seed=seed)
        bolder = self._method.make_bolder if attempt else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return (bolder or self._method.make)(self._space.study, seed)

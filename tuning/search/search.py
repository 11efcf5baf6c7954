"""The search: chooses the next trial's configuration and decides when there are no more."""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search_spaces.composition import compose
from search_spaces.schema import StudyConfig
from trainables.config import TrialConfig
from trainables.config.canonical import canonical_json
from trainables.errors import InfeasibleError
from tuning.search.budget import Budget
from tuning.search.grid import Grid
from tuning.search.proposer import Proposal
from tuning.search.searchers import Draw, make_searcher
from tuning.search.space import Space
from tuning.storage.journal import TrialFinished, TrialProposed, TrialState
from tuning.storage.record import TrialRecord

_RANDOM_DRAWS = 200
"""Random draws after the searcher's own before a space with continuous parameters counts as exhausted."""

_INFEASIBLE_IN_A_ROW = 100
"""The search gives up after this many infeasible proposals in a row."""

Check = Callable[[TrialConfig], dict[str, int]]
"""Size of a configuration's model; raises InfeasibleError if it cannot be built."""


@dataclass(frozen=True)
class _Candidate:
    """A configuration that the study has not seen yet."""

    draw: Draw
    config: TrialConfig
    hash: str
    source: Literal["search", "first"]


class Search:
    """Proposes trials and learns from them. Rebuilt from the record after a crash.

    The same seed and the same sequence of calls give the same proposals: every `ask` reseeds from the study's seed and
    the number of proposals so far. Not thread-safe.
    """

    def __init__(
        self,
        study: StudyConfig,
        data_fingerprint: str,
        check: Check,
        own_trials: Sequence[TrialRecord] = (),
        transfer_trials: Sequence[TrialRecord] = (),
        *,
        previous_stage_trials: Sequence[TrialRecord] = (),
        stage: int = 1,
        full_study: StudyConfig | None = None,
        next_number: int = 0,
    ) -> None:
        """Start or resume a search.

        Args:
            study: what to search and how.
            data_fingerprint: fingerprint of the images.
            check: measures a configuration's model, or raises InfeasibleError.
            own_trials: every trial so far. Unfinished ones count as running; the caller resumes them.
            transfer_trials: finished trials from outside this search (`tuning.search.warm_start`) to learn from.
            previous_stage_trials: trials of the study's earlier stages. Their configurations are not trained again.
            stage: stage number to record for new trials.
            full_study: the study that this stage belongs to. Recorded trials include the parameters fixed here.
            next_number: lowest number for a new trial.
        """
        self._study = study
        self._stage = stage
        self._full_space = None if full_study is None else Space(full_study)
        self._fingerprint = data_fingerprint
        self._check = check
        self._space = Space(study)
        self._searcher = make_searcher(self._space)
        self._firsts = deque(map(self._space.values_of, first_configurations(study)))
        self._budget = Budget(study.search)
        self._hashes = {trial.hash for trial in previous_stage_trials}
        self._tried: set[str] = set()
        self._next_number = max((next_number, *(trial.number + 1 for trial in previous_stage_trials)))
        self._proposals = 0
        self._sizes: dict[int, tuple[int, ...]] = {}
        self._infeasible_in_a_row: list[str] = []
        self._exhausted: str | None = None
        for index, trial in enumerate(transfer_trials):
            self._learn(-1 - index, trial)
        for trial in own_trials:
            self._remember(trial)

    @property
    def finish_reason(self) -> str | None:
        """Why there are no more proposals; None while there may be."""
        return self._budget.spent or self._budget.trials_spent or self._exhausted

    @property
    def target_reached(self) -> bool:
        """Whether `search.target` has been reached."""
        return self._budget.target_reached

    @property
    def stop_reason(self) -> str | None:
        """Why running trials must stop at once; None while they may go on."""
        return self._budget.spent

    def ask(self) -> Proposal:
        """The next new trial, with the infeasible ones found before it."""
        events: list[TrialProposed | TrialFinished] = []
        while self.finish_reason is None:
            candidate = self._next_candidate()
            if candidate is None:
                self._exhausted = "no untried configuration is left"
                break
            try:
                size = self._check(candidate.config)
            except InfeasibleError as error:
                events += self._set_aside(candidate, str(error))
                continue
            self._infeasible_in_a_row.clear()
            trial = self._propose(candidate, size)
            return Proposal((*events, trial), trial)
        return Proposal(tuple(events), None)

    def observe(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch of a trial has ended."""
        best = self._budget.observe(number, epoch, metrics[self._study.search.objective])
        self._searcher.observe(number, epoch, best)

    def finish(self, number: int, state: TrialState) -> None:
        """A trial has ended."""
        best = self._budget.finish(number, state)
        self._searcher.finish(number, state, None if best is None else (best, *self._sizes.pop(number)))

    def _remember(self, trial: TrialRecord) -> None:
        """Take over a trial of an earlier driver."""
        self._next_number = max(self._next_number, trial.number + 1)
        self._hashes.add(trial.hash)
        if trial.source == "confirm":
            return
        self._start(trial.number, Draw(trial.params), trial.size)
        for epoch, metrics in enumerate(trial.epochs, start=1):
            self.observe(trial.number, epoch, metrics)
        if trial.is_finished:
            self.finish(trial.number, trial.state)
        if trial.state == "infeasible" and trial.started_at is None:
            self._infeasible_in_a_row.append(trial.reason)
        else:
            self._infeasible_in_a_row.clear()

    def _learn(self, number: int, trial: TrialRecord) -> None:
        """Tell the searcher about a trial from outside this search."""
        second = self._study.search.second_objective
        best = trial.best_metrics(self._study.search.ranking)
        value = None if best is None else best[self._study.search.objective]
        self._searcher.accept(number, Draw(trial.params), self._seed(0))
        if value is not None:
            self._searcher.observe(number, len(trial.epochs), value)
        size = (trial.size[second],) if second is not None and second in trial.size else ()
        self._searcher.finish(number, trial.state, None if value is None else (value, *size))

    def _next_candidate(self) -> _Candidate | None:
        """A configuration that the study has not seen; None if none can be found."""
        while self._firsts:
            candidate = self._if_new(Draw(self._firsts.popleft()), "first")
            if candidate is not None:
                return candidate
        for draw in self._draws():
            candidate = self._if_new(draw, "search")
            if candidate is not None:
                return candidate
            self._searcher.reject(draw)
        return None

    def _draws(self) -> Iterator[Draw]:
        """The searcher's proposals; if all of them were tried before, any other configurations."""
        attempts = self._searcher.attempts
        for attempt in itertools.islice(itertools.count(), attempts):
            draw = self._searcher.draw(self._seed(attempt), attempt)
            if draw is None:
                return
            yield draw
        if self._space.is_discrete:
            yield from map(Draw, Grid(self._space).shuffled(self._seed(0)))
            return
        for attempt in itertools.islice(itertools.count(attempts or 0), _RANDOM_DRAWS):
            draw = self._searcher.draw(self._seed(attempt), attempt)
            if draw is not None:
                yield draw

    def _if_new(self, draw: Draw, source: Literal["search", "first"]) -> _Candidate | None:
        """The configuration for these values; None if it is invalid or was tried before."""
        values = canonical_json(draw.values)
        if values in self._tried:
            return None
        self._tried.add(values)  # whatever the outcome: composing and hashing costs 50 times as much as this lookup
        try:
            config = compose(self._study, draw.values)
        except InfeasibleError:
            return None
        fingerprint = config.canonical_hash(self._fingerprint)
        return None if fingerprint in self._hashes else _Candidate(draw, config, fingerprint, source)

    def _propose(self, candidate: _Candidate, size: dict[str, int]) -> TrialProposed:
        number = self._next_number
        self._next_number += 1
        self._hashes.add(candidate.hash)
        self._start(number, candidate.draw, size)
        return TrialProposed(
            number=number,
            source=candidate.source,
            stage=self._stage,
            params=candidate.draw.values if self._full_space is None else self._full_space.values_of(candidate.config),
            config=candidate.config.model_dump(mode="json"),
            hash=candidate.hash,
            size=size,
        )

    def _start(self, number: int, draw: Draw, size: Mapping[str, int]) -> None:
        second = self._study.search.second_objective
        self._sizes[number] = (size[second],) if second is not None and second in size else ()
        self._searcher.accept(number, draw, self._seed(0))
        self._budget.start(number)
        self._proposals += 1

    def _set_aside(self, candidate: _Candidate, reason: str) -> tuple[TrialProposed, TrialFinished]:
        """Record an infeasible configuration. After too many in a row, stop proposing."""
        trial = self._propose(candidate, {})
        self.finish(trial.number, "infeasible")
        self._infeasible_in_a_row.append(reason)
        if len(self._infeasible_in_a_row) >= _INFEASIBLE_IN_A_ROW:
            self._exhausted = _nothing_feasible(self._infeasible_in_a_row)
        return trial, TrialFinished(number=trial.number, state="infeasible", reason=reason)

    def _seed(self, attempt: int) -> int:
        """A new seed for every `ask`, the same in an interrupted and an uninterrupted study."""
        return int(np.random.SeedSequence((self._study.search.seed, self._proposals, attempt)).generate_state(1)[0])


def first_configurations(study: StudyConfig) -> list[TrialConfig]:
    """Configurations tried before the searcher chooses: the base, then each of `search.first` applied to it.

    Raises:
        InfeasibleError: the values are not a valid configuration.
    """
    return [compose(study, values) for values in ({}, *study.search.first)]


def _nothing_feasible(reasons: Sequence[str]) -> str:
    reason, count = Counter(reasons).most_common(1)[0]
    return (
        f"none of the last {len(reasons)} proposed configurations can be built; {count} of them because: {reason}. "
        "Narrow the space so that more of it can be built; `tune-cli plan FILE` shows what share can."
    )

"""The interface of everything that proposes trials: the search, and the confirmation of its best trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tuning.storage.journal import TrialFinished, TrialProposed, TrialState


@dataclass(frozen=True)
class Proposal:
    """Answer to `Proposer.ask`."""

    events: tuple[TrialProposed | TrialFinished, ...]
    """For the journal, in this order: infeasible configurations found first, then `trial`."""
    trial: TrialProposed | None
    """What to train; None if there is nothing to propose (see `Proposer.finish_reason`)."""


class Proposer(Protocol):
    """Proposes trials and is told their results."""

    @property
    def finish_reason(self) -> str | None:
        """Why there are no more proposals; None while there may be."""

    @property
    def stop_reason(self) -> str | None:
        """Why running trials must stop at once; None while they may go on."""

    def ask(self) -> Proposal:
        """The next trial."""

    def observe(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch of a trial has ended."""

    def finish(self, number: int, state: TrialState) -> None:
        """A trial has ended."""

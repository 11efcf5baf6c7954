"""What hands out trials: the search, and the confirmation of its best."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tuning.storage.journal import TrialFinished, TrialProposed, TrialState


@dataclass(frozen=True)
class Proposal:
    """Answer to `Proposer.ask`."""

    events: tuple[TrialProposed | TrialFinished, ...]
    """For the journal, in this order: infeasible configurations met on the way, then `trial`."""
    trial: TrialProposed | None
    """What to train; None when there is nothing more (`Proposer.finish_reason`)."""


class Proposer(Protocol):
    """Proposes trials and hears what becomes of them."""

    @property
    def finish_reason(self) -> str | None:
        """Why nothing more is proposed, in words; None while something may be."""

    @property
    def stop_reason(self) -> str | None:
        """Why running trials, too, are to be stopped at once, in words; None while they may go on."""

    def ask(self) -> Proposal:
        """The next trial."""

    def observe(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch of a trial has ended."""

    def finish(self, number: int, state: TrialState) -> None:
        """A trial will not be trained any further."""

"""What a search tells whoever watches it.

Owns: `SearchObserver`, the calls that `search` makes as things happen, and `Proposal`.  Does not own: writing them down
(`recorder`).

Names are SymbolicRegression.jl's.  An observer draws no random numbers and changes nothing, so that a watched search is
the same as an unwatched one.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pysr_neural.expression.edits import Edit
from pysr_neural.expression.node import Node
from pysr_neural_baseline.population import Member


class Proposal(NamedTuple):
    """One child that was proposed; a tuple, because one is made in every step and a dataclass takes four times as long.

    Parameters
    ----------
    population, iteration, cycle : int
    kind : str
        One of `pysr_neural.state.KINDS`.
    parents : tuple of int
        Refs of the members that it was made from.
    child : Node
        What was proposed, also if it was rejected.
    child_ref : int
        Its ref if accepted, else -1.
    before, after : (loss, cost)
        Of the first parent, and of the child; NaN where not evaluated.
    reason : str
        Why it was rejected: ``"constraints"``, ``"loss"`` (not finite), ``"annealing"``, ``"frequency"``; empty if
        accepted.
    neural : bool
        Whether an injected proposer made it.
    edit : Edit or None
        What was done to the parents; None where a proposer did not tell.
    """

    population: int
    iteration: int
    cycle: int
    kind: str
    parents: tuple[int, ...]
    child: Node
    child_ref: int
    before: tuple[float, float]
    after: tuple[float, float]
    reason: str
    neural: bool
    edit: Edit | None = None

    @property
    def accepted(self) -> bool:
        """Whether it became a member."""
        return not self.reason


class SearchObserver(Protocol):
    """Receives a search's events in the order in which they happen; what derives from it may leave some out.

    Populations, iterations and cycles count from 0; the initial population belongs to iteration 0 before cycle 0.
    """

    def population(self, population: int, iteration: int, members: Sequence[Member]) -> None:
        """Take a population as it stands: after initialisation (iteration 0), and after every iteration."""
        return

    def proposal(self, told: Proposal) -> None:
        """Take one proposal, accepted or not."""
        return

    def relink(self, population: int, iteration: int, event: str, old_ref: int, member: Member) -> None:
        """Take a member that replaces another without a proposal: ``"simplify"``, ``"tuning"`` or ``"migration"``."""
        return

    def death(self, population: int, iteration: int, cycle: int, ref: int) -> None:
        """Take the ref of a member that left its population to make room for a child."""
        return

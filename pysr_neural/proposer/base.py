"""The proposer protocol: what an engine asks, and what any proposer answers.

Owns: `ProposalRequest`, `ProposalBatch`, `Proposer`.  Does not own: any proposer, any engine, levels, kinds (`state`).

Ordinary evolution is one `Proposer`, the transformer is another; BasicSR and the PySR server talk to both alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.edits import NOTHING, Edit
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.state import KINDS, LEVELS, MemberView, level_bits, levels_from_bits, levels_of

__all__ = [
    "KINDS",
    "LEVELS",
    "Action",
    "Child",
    "BatchProposer",
    "MemberView",
    "Prior",
    "ProposalBatch",
    "ProposalCounts",
    "ProposalRequest",
    "Proposer",
    "Session",
    "level_bits",
    "levels_from_bits",
    "levels_of",
    "normalized",
]


@dataclass(frozen=True)
class ProposalRequest:
    """What an engine asks.

    Parameters
    ----------
    members : tuple of MemberView
        Population snapshot, in the engine's order; may be empty (``seed``).
    count : int
        How many children are wanted.
    levels : tuple of str
        Which levels are asked for; see `LEVELS`.
    seed : int
        Makes the answer reproducible.
    temperature : float
        Of sampling, > 0.
    max_size : int or None
        Current size limit, if tighter than the problem's.
    progress : float
        Elapsed share of the search, 0 to 1.
    seconds : float or None
        What the answer may take, if the search's time is limited.  A proposer that takes longer delays the end of the
        search; it should leave out what it has no time for.
    """

    members: tuple[MemberView, ...]
    count: int
    levels: tuple[str, ...]
    seed: int
    temperature: float = 1.0
    max_size: int | None = None
    progress: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class Child:
    """One proposed expression.

    Parameters
    ----------
    tree : Node
    kind : str
        One of `KINDS`.
    parents : tuple of int
        Positions in the request's members; empty for a child made from the data alone.
    log_probability : float
        Of the tree under the proposer; NaN where it is not known.
    edit : Edit, optional
        What was done to the parents; None where it was not told.
    """

    tree: Node
    kind: str = "neural"
    parents: tuple[int, ...] = ()
    log_probability: float = float("nan")
    edit: Edit | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Action:
    """One decision about variation, for the engine to carry out.

    Parameters
    ----------
    kind : str
        One of `KINDS`, all but ``"neural"``.
    parents : tuple of int
        Positions in the request's members: one, and a second for a crossover.
    edit : Edit
        Constants may be left undrawn (`pysr_neural.expression.edits.UNDRAWN`).
    log_probability, entropy : float
        Of the decisions under the proposer, in nats: the sum of both, of each decision given those before it.
    """

    kind: str
    parents: tuple[int, ...]
    edit: Edit = NOTHING
    log_probability: float = float("nan")
    entropy: float = float("nan")


@dataclass(frozen=True)
class Prior:
    """Probabilities over building blocks, for native sampling by the engine.

    Parameters
    ----------
    operators : array, shape (n_operators,)
    variables : array, shape (n_features,)
        Weights ≥ 0, each array with a positive sum.
    pairs : array, shape (n_operators + 1, n_operators + 2)
        Weight of each child symbol (constant, variable, operators …) below each parent (operators …, root last).
    """

    operators: Array
    variables: Array
    pairs: Array


@dataclass(frozen=True)
class ProposalBatch:
    """What a proposer answers; every part but the children is optional.

    Parameters
    ----------
    children : tuple of Child
        At most as many as asked for; fewer is allowed.
    actions : tuple of Action
        In place of children, which the engine makes; together they are at most as many as asked for.
    kind_weights : array, shape (len(KINDS),), optional
        Weight of each kind for the next steps.
    crossover_probability : float, optional
    parent_weights : array, shape (members,), optional
        Weight of each member as a parent.
    prior : Prior, optional
    """

    children: tuple[Child, ...] = ()
    kind_weights: Array | None = None
    crossover_probability: float | None = None
    parent_weights: Array | None = None
    prior: Prior | None = None
    actions: tuple[Action, ...] = ()


@runtime_checkable
class Session(Protocol):
    """A proposer's state for one search; made by `Proposer.open`."""

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer one request; the same requests in the same order give the same answers."""
        ...


@runtime_checkable
class Proposer(Protocol):
    """Anything that proposes expressions: ordinary evolution, a script, the transformer."""

    def open(self, problem: Problem) -> Session:
        """Start a search: the place to encode (X, y) once."""
        ...


@runtime_checkable
class BatchProposer(Proposer, Protocol):
    """A proposer that can answer several searches at once, at less cost than one after another."""

    def propose_many(self, sessions: Sequence[Any], requests: Sequence[ProposalRequest]) -> list[ProposalBatch]:
        """Answer one request of each session; each answer is what ``session.propose`` would give.

        Parameters
        ----------
        sessions : sequence of Session
            Opened by this proposer.
        requests : sequence of ProposalRequest
            One per session.
        """
        ...


@dataclass
class ProposalCounts:
    """Counters of what became of a proposer's work; mutable, one per search.

    Attributes
    ----------
    calls, served, fallbacks, accepted, improved : int
        Requests made; children taken; ordinary steps done in place of a child; children accepted; children with a lower
        loss than their parent.
    invalid : dict of str to int
        Rejected children by ``stage: reason``.
    seconds : float
        Time spent in the proposer.
    skipped : dict of str to int
        Requests not made, by reason: time budget used up, too little time left, circuit breaker open.
    """

    calls: int = 0
    served: int = 0
    fallbacks: int = 0
    accepted: int = 0
    improved: int = 0
    invalid: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    skipped: dict[str, int] = field(default_factory=dict)

    def reject(self, stage: str, reason: str, count: int = 1) -> None:
        """Count rejected children under a stage and a reason."""
        key = f"{stage}: {reason}"
        self.invalid[key] = self.invalid.get(key, 0) + count

    def skip(self, reason: str) -> None:
        """Count a request that was not made."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


def normalized(weights: npt.ArrayLike) -> Array:
    """Scale weights ≥ 0 to sum 1; all zero, negative or non-finite input gives the uniform distribution."""
    values = np.nan_to_num(np.asarray(weights, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(0.0)
    total = values.sum()
    return values / total if total > 0 else np.full(values.shape, 1.0 / max(values.size, 1))

"""A distilled policy as a proposer: the same answer in every state, or by its tree; no model.

Owns: `StaticProposer`.  Does not own: the distilled form (`distil`).  It is the control that a policy must beat to be
worth its time; PySR takes it as ``NeuralProposer(proposer=StaticProposer(...), levels=("kind", "prior"))``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet, Problem
from pysr_neural.proposer.base import KINDS, Prior, ProposalBatch, ProposalRequest, normalized
from pysr_neural_training.interpret.distil import Distilled
from pysr_neural_training.interpret.preferences import CONSTANT, ROOT, VARIABLE
from pysr_neural_training.interpret.states import SearchState


@dataclass(frozen=True)
class StaticProposer:
    """Answers with the mean preferences of a policy.

    Parameters
    ----------
    distilled : Distilled
    by_state : bool
        Whether the kinds follow the distilled tree, where there is one.
    """

    distilled: Distilled
    by_state: bool = False

    def open(self, problem: Problem) -> "StaticSession":
        """Start a search."""
        return StaticSession(self.distilled, problem, self.by_state)


@dataclass
class StaticSession:
    """One search's static preferences.

    Parameters
    ----------
    distilled : Distilled
    problem : Problem
    by_state : bool
    """

    distilled: Distilled
    problem: Problem
    by_state: bool
    _lowest: float = field(default=float("inf"), init=False)
    _stalled: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._prior = prior_of(self.distilled, self.problem) if self.distilled.operators else None

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer with kinds, crossover probability and prior, as far as they are asked for; never with children."""
        levels = set(request.levels)
        return ProposalBatch(
            kind_weights=self._kinds(request) if "kind" in levels and request.members else None,
            crossover_probability=self.distilled.crossover_probability if "crossover" in levels else None,
            prior=self._prior if "prior" in levels else None,
        )

    def _kinds(self, request: ProposalRequest) -> Array | None:
        tree = self.distilled.tree
        if not self.by_state or tree is None:
            return None if self.distilled.kinds is None else _weights(self.distilled.kinds)
        lowest = min(member.loss for member in request.members)
        self._stalled = 0 if lowest < self._lowest else self._stalled + 1
        self._lowest = min(lowest, self._lowest)
        state = SearchState(self.problem, request.members, request.progress, self._stalled)
        return _weights(tree.decide(state.features))


def prior_of(distilled: Distilled, problem: Problem) -> Prior:
    """Return the distilled building blocks for a search; what the policy never met is neutral."""
    operators = problem.operators
    lifts = np.array([distilled.operators.get(name, 1.0) for name in operators.names])
    return Prior(normalized(lifts), normalized(np.ones(problem.X.shape[1])), _pairs(distilled, operators))


def _pairs(distilled: Distilled, operators: OperatorSet) -> Array:
    symbols = (CONSTANT, VARIABLE, *operators.names)
    rows = [distilled.pairs.get(parent, {}) for parent in (*operators.names, ROOT)]
    return np.stack([normalized([row.get(symbol, 1.0) for symbol in symbols]) for row in rows])


def _weights(lifts: Mapping[str, float]) -> Array:
    return np.array([lifts.get(kind, 1.0) for kind in KINDS])

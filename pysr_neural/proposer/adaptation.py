"""Online adaptation: kinds, operators and variables are weighed by what improved this very search; no gradient step.

Owns: the update rule (`credit`, `Tally`, `multipliers`), `AdaptiveProposer`.  Does not own: recognising mutations
(`moves`), what the wrapped proposer says.

The rule is a bandit with discounted Beta posteriors: an arm's rate of success, shrunk towards the rate of all arms,
over the rate of all arms, within a floor and its inverse.  Success is the share of the loss that a mutation took away.

The protocol tells a proposer no outcomes, so they are read off the snapshots of consecutive requests: a new member that
is one mutation away from a member of the last snapshot is an outcome.  So much is seen and no more: rejected children
are not, so that rates are those among survivors; a member whose only constant was tuned counts as the kind
``"constant"``.  It needs an engine that asks often, such as BasicSR, once per generation; PySR asks after thousands of
steps, when few members are one mutation from any that was seen, and reweighs kinds by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pysr_neural.checks import number
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import (
    KINDS,
    BatchProposer,
    MemberView,
    Prior,
    ProposalBatch,
    ProposalRequest,
    Proposer,
    Session,
)
from pysr_neural.proposer.moves import Move, move_between

POPULATIONS = 64
"""Snapshots kept; the populations of one search take turns."""


@dataclass(frozen=True)
class AdaptationRules:
    """How fast and how far weights follow a search.

    Parameters
    ----------
    discount : float
        What an observation still counts one request later, above 0 and at most 1.
    shrinkage : float
        Imaginary observations of each arm at the rate of all arms, above 0.
    floor : float
        Least multiplier, above 0 and at most 1; its inverse is the greatest.  1 adapts nothing.
    """

    discount: float = 0.95
    shrinkage: float = 5.0
    floor: float = 0.25

    def __post_init__(self) -> None:
        for name in ("discount", "floor"):
            object.__setattr__(self, name, number(name, getattr(self, name), above=0, most=1))
        object.__setattr__(self, "shrinkage", number("shrinkage", self.shrinkage, above=0))


@dataclass(frozen=True, eq=False)
class Tally:
    """Discounted successes and trials of some arms.

    Parameters
    ----------
    successes, trials : array, shape (arms,)
    """

    successes: Array
    trials: Array

    @classmethod
    def of(cls, arms: int) -> "Tally":
        """Return an empty tally."""
        return cls(np.zeros(arms), np.zeros(arms))

    def after(self, arms: Sequence[int], credits: Sequence[float], discount: float) -> "Tally":
        """Return the tally after one request's outcomes; what was there before counts less.

        Parameters
        ----------
        arms : sequence of int
            One per outcome; an arm may occur more than once.
        credits : sequence of float
            Success of each, 0 to 1.
        discount : float
        """
        successes, trials = self.successes * discount, self.trials * discount
        places = np.asarray(arms, dtype=np.int64)
        np.add.at(successes, places, np.asarray(credits, dtype=np.float64))
        np.add.at(trials, places, 1.0)
        return Tally(successes, trials)


def credit(before: float, after: float) -> float:
    """Return the share of a loss that is gone, 0 to 1; 0 for a rise, and where a loss is no number."""
    if not after < before:
        return 0.0
    return 1.0 if math.isinf(before) else min(1.0, 1.0 - after / before)


def multipliers(tally: Tally, rules: AdaptationRules) -> Array:
    """Return the weight of each arm, 1 where nothing is known, shape (arms,)."""
    total = float(tally.trials.sum())
    pooled = float(tally.successes.sum()) / total if total > 0 else 0.0
    if pooled <= 0:
        return np.ones(len(tally.trials))
    rates = (tally.successes + rules.shrinkage * pooled) / (tally.trials + rules.shrinkage)
    return np.clip(rates / pooled, rules.floor, 1 / rules.floor)


class AdaptiveProposer:
    """Wraps any proposer: what it says about kinds and building blocks is reweighed as the search goes on.

    Where it says nothing, the weights are the observations' alone, so that an empty
    `pysr_neural.proposer.scripted.ScriptedProposer` makes a bandit without a model.  Sessions remember: a request that
    is repeated may be answered differently, a sequence of requests is not.

    Parameters
    ----------
    inner : Proposer
    rules : AdaptationRules, optional
    """

    def __init__(self, inner: Proposer, rules: AdaptationRules | None = None) -> None:
        self.inner = inner
        self.rules = rules or AdaptationRules()

    def open(self, problem: Problem) -> "AdaptiveSession":
        """Start a search; nothing is known about it."""
        return AdaptiveSession(self.inner.open(problem), problem, self.rules)

    def propose_many(
        self, sessions: Sequence["AdaptiveSession"], requests: Sequence[ProposalRequest]
    ) -> list[ProposalBatch]:
        """Answer the requests of several searches, at once where the wrapped proposer can."""
        if not isinstance(self.inner, BatchProposer):
            return [session.propose(request) for session, request in zip(sessions, requests, strict=True)]
        answers = self.inner.propose_many([session.inner for session in sessions], requests)
        each = zip(sessions, requests, answers, strict=True)
        return [session.adapted(answer, request) for session, request, answer in each]


@dataclass
class AdaptiveSession:
    """One search's observations; follows the `Session` protocol.

    Parameters
    ----------
    inner : Session
    problem : Problem
    rules : AdaptationRules

    Attributes
    ----------
    kinds, operators, variables : Tally
        An arm per kind of `KINDS`, per operator and per variable of the search.
    """

    inner: Session
    problem: Problem
    rules: AdaptationRules
    _snapshots: list[dict[Node, float]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self.kinds = Tally.of(len(KINDS))
        self.operators = Tally.of(len(self.problem.operators.names))
        self.variables = Tally.of(self.problem.X.shape[1])

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer as the wrapped proposer does, reweighed."""
        return self.adapted(self.inner.propose(request), request)

    def adapted(self, answer: ProposalBatch, request: ProposalRequest) -> ProposalBatch:
        """Take the request's members for outcomes, and reweigh an answer to it.

        An answer that is not what it should be stays as it is, for the engine's guard to refuse and count.
        """
        self.observe(request.members)
        if not isinstance(answer, ProposalBatch) or not request.members:
            return answer
        if "kind" in request.levels:
            base = np.ones(len(KINDS)) if answer.kind_weights is None else answer.kind_weights
            answer = replace(answer, kind_weights=_times(base, multipliers(self.kinds, self.rules)))
        if "prior" in request.levels:
            answer = replace(answer, prior=self._reweighed(answer.prior or self._neutral()))
        return answer

    def observe(self, members: Sequence[MemberView]) -> None:
        """Compare a snapshot with the last one of the same population, and count what is found."""
        now = {member.tree: member.loss for member in members}
        before = self._last_of(now)
        outcomes = []
        for tree, loss in now.items() if before else ():
            if tree not in before and (found := _origin(tree, before)) is not None:
                outcomes.append((found[0], credit(found[1], loss)))
        self._count(outcomes)
        self._snapshots = [*(each for each in self._snapshots if each is not before), now][-POPULATIONS:]

    def _last_of(self, now: dict[Node, float]) -> dict[Node, float]:
        """Return the kept snapshot that shares most trees with this one; an empty one if none shares any."""
        shared = [len(now.keys() & each.keys()) for each in self._snapshots]
        best = int(np.argmax(shared)) if shared else -1
        return self._snapshots[best] if shared and shared[best] else {}

    def _count(self, outcomes: Sequence[tuple[Move, float]]) -> None:
        index, discount = self.problem.operators.index, self.rules.discount
        kinds = [(KINDS.index(move.kind), gain) for move, gain in outcomes]
        operators = [(index[each], gain) for move, gain in outcomes for each in move.operators if each in index]
        features = self.problem.X.shape[1]
        variables = [(each, gain) for move, gain in outcomes for each in move.variables if each < features]
        self.kinds = self.kinds.after(*_columns(kinds), discount)
        self.operators = self.operators.after(*_columns(operators), discount)
        self.variables = self.variables.after(*_columns(variables), discount)

    def _reweighed(self, prior: Prior) -> Prior:
        by_operator, by_variable = multipliers(self.operators, self.rules), multipliers(self.variables, self.rules)
        # The first two columns are constants and variables: how many leaves are what is left alone.
        by_symbol = np.concatenate([np.ones(2), by_operator])
        return Prior(
            _times(prior.operators, by_operator), _times(prior.variables, by_variable), _times(prior.pairs, by_symbol)
        )

    def _neutral(self) -> Prior:
        operators, features = len(self.operators.trials), len(self.variables.trials)
        return Prior(np.ones(operators), np.ones(features), np.ones((operators + 1, operators + 2)))


def _origin(tree: Node, before: dict[Node, float]) -> tuple[Move, float] | None:
    """Return the move to a tree from the best member that is one mutation away, with that member's loss."""
    found: tuple[Move, float] | None = None
    for parent, loss in before.items():
        if found is None or loss < found[1]:
            move = move_between(parent, tree)
            found = found if move is None else (move, loss)
    return found


def _times(weights: npt.ArrayLike, by: Array) -> Array:
    """Multiply along the last axis; weights of another shape are left for the guard to refuse."""
    values = np.asarray(weights, dtype=np.float64)
    return values * by if values.ndim and values.shape[-1] == len(by) else values


def _columns(pairs: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [arm for arm, _ in pairs], [gain for _, gain in pairs]

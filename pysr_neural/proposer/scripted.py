"""Proposers without a model: answers from a list, and random trees.

Owns: `ScriptedProposer` (tests, examples, your own candidates), `RandomProposer` (the control without any learning).
Does not own: validity of the answers (`proposer.guarded`).
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pysr_neural.checks import whole
from pysr_neural.expression.constraints import complexity_of
from pysr_neural.expression.node import Node
from pysr_neural.expression.sample import GrowRules, GrowSampler
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalRequest
from pysr_neural.rng import generator

ATTEMPTS = 20
Answer = Node | Child | ProposalBatch | BaseException | object


class ScriptedProposer:
    """Answers from a list, in order; one list per search.

    Parameters
    ----------
    answers : iterable
        Each item is one of: a `Node` or a `Child` — a request takes as many in a row as it asks for; a
        `ProposalBatch` — the answer to one request, whatever it asked for; an exception — raised by one request;
        anything else — returned by one request as it is, to test what an engine does with nonsense.
    cycle : bool
        Whether to begin again at the end of the list; otherwise later requests get an empty batch.
    delay : float
        Seconds to wait before each answer.
    """

    def __init__(self, answers: Iterable[Answer], cycle: bool = False, delay: float = 0.0) -> None:
        self.answers: tuple[Answer, ...] = tuple(answers)
        self.cycle = cycle
        self.delay = delay

    def open(self, problem: Problem) -> "ScriptedSession":
        """Start at the head of the list."""
        return ScriptedSession(self.answers, self.cycle, self.delay)


class ScriptedSession:
    """One run through a script.

    Parameters
    ----------
    answers : sequence
    cycle : bool
    delay : float

    Attributes
    ----------
    requests : list of ProposalRequest
        Everything that was asked, in order.
    """

    def __init__(self, answers: Sequence[Answer], cycle: bool, delay: float) -> None:
        self.requests: list[ProposalRequest] = []
        self._answers, self._cycle, self._delay = answers, cycle, delay
        self._at = 0

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Give the next answer; see `ScriptedProposer`."""
        self.requests.append(request)
        if self._delay:
            threading.Event().wait(self._delay)
        children: list[Child] = []
        while len(children) < request.count and (answer := self._peek()) is not None:
            single = isinstance(answer, Node | Child)
            if children and not single:
                break
            self._at += 1
            if isinstance(answer, BaseException):
                raise answer
            if not single:
                return answer  # type: ignore[return-value]
            children.append(answer if isinstance(answer, Child) else Child(answer))  # type: ignore[arg-type]
        return ProposalBatch(tuple(children))

    def _peek(self) -> Answer | None:
        if not self._answers or (self._at >= len(self._answers) and not self._cycle):
            return None
        return self._answers[self._at % len(self._answers)]


@dataclass(frozen=True)
class RandomProposer:
    """Proposes trees of the grow method, blind to data and population.

    Parameters
    ----------
    max_depth : int
        Most operators on any path, at least 0.
    constants : tuple of float
        What constants may be.
    rules : GrowRules, optional
    """

    max_depth: int = 4
    constants: tuple[float, ...] = (1.0,)
    rules: GrowRules = field(default_factory=GrowRules)

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_depth", whole("max_depth", self.max_depth, 0))

    def open(self, problem: Problem) -> "RandomSession":
        """Start a search."""
        constants = self.constants if problem.limits.constants else ()
        sampler = GrowSampler(problem.operators, problem.X.shape[1], constants, self.rules)
        return RandomSession(sampler, self.max_depth, problem)


@dataclass(frozen=True)
class RandomSession:
    """Random trees for one search.

    Parameters
    ----------
    sampler : GrowSampler
    max_depth : int
    problem : Problem
    """

    sampler: GrowSampler
    max_depth: int
    problem: Problem

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer with ``count`` random trees within the size limit; a terminal where growing keeps failing."""
        rng = generator(request.seed, "random proposer")
        return ProposalBatch(tuple([Child(self._tree(request.max_size, rng)) for _ in range(request.count)]))

    def _tree(self, max_size: int | None, rng: np.random.Generator) -> Node:
        limits, operators = self.problem.limits, self.problem.operators
        most = limits.max_size if max_size is None else min(limits.max_size, max_size)
        for _ in range(ATTEMPTS):
            tree = self.sampler.tree(self.max_depth, rng)
            if complexity_of(tree, operators, limits.complexities) <= most:
                return tree
        return self.sampler.terminal(rng)

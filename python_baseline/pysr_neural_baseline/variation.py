"""Ordinary variation as a proposer: the reference algorithm's initial population, selection, mutation and crossover.

Owns: `EvolutionaryProposer`.  Does not own: losses (`objective`), acceptance and elitism (`search`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.expression.sample import GrowSampler
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalRequest
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import scale_of

GROW_ATTEMPTS = 100


@dataclass(frozen=True)
class EvolutionaryProposer:
    """Proposes what BasicSR would do by itself.

    Parameters
    ----------
    config : BasicSRConfig
    """

    config: BasicSRConfig

    def open(self, problem: Problem) -> "Variation":
        """Start a search."""
        return Variation(problem, self.config)


class Variation:
    """Ordinary variation for one search; follows the `Session` protocol.

    Parameters
    ----------
    problem : Problem
    config : BasicSRConfig
    """

    def __init__(self, problem: Problem, config: BasicSRConfig) -> None:
        self.problem, self.config = problem, config
        self.sampler = GrowSampler(problem.operators, problem.X.shape[1], config.constants, config.grow)
        self.max_size = min(config.max_size, problem.limits.max_size)
        self.scale = scale_of(problem.y) if config.relative_loss else 1.0
        self._more_limits = bool(problem.limits.nested) or problem.limits.max_depth < self.max_size

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer with initial members if there is no population yet, otherwise with varied ones."""
        rng = generator(request.seed, "variation")
        if not request.members:
            return ProposalBatch(tuple([Child(tree, "randomize") for tree in self.initial(request.count, rng)]))
        trees = [member.tree for member in request.members]
        costs = [m.loss / self.scale + self.config.parsimony * m.complexity for m in request.members]
        return ProposalBatch(tuple(self.children(trees, costs, request.count, rng)))

    def initial(self, count: int, rng: np.random.Generator) -> list[Node]:
        """Return the first ``count`` of: terminals, x + c and x * c, squares, unaries, then random trees."""
        trees = self._building_blocks()[:count]
        while len(trees) < count:
            trees.append(self._random_tree(rng))
        return trees

    def _building_blocks(self) -> list[Node]:
        variables = [variable(i) for i in range(self.problem.X.shape[1])]
        constants = [constant(value) for value in self.config.constants]
        pairs = [Node(name, (x, c)) for x in variables for c in constants for name in ("+", "*")]
        squares = [Node("*", (x, x)) for x in variables]
        unaries = [Node(name, (x,)) for name in self.sampler.unary for x in variables]
        return [
            tree
            for tree in (*variables, *constants, *pairs, *squares, *unaries)
            if (not tree.operator or (tree.operator, len(tree.children)) in self.problem.operators.index)
            and self._fits(tree)
        ]

    def _random_tree(self, rng: np.random.Generator) -> Node:
        for _ in range(GROW_ATTEMPTS):
            tree = self.sampler.tree(self.config.initial_depth, rng)
            if self._fits(tree):
                return tree
        return self.sampler.terminal(rng)

    def _fits(self, tree: Node) -> bool:
        if tree.size > self.max_size:
            return False
        return not self._more_limits or check_tree(tree, self.problem, self.max_size) is None

    def children(
        self,
        trees: Sequence[Node],
        costs: Sequence[float],
        count: int,
        rng: np.random.Generator,
        crossover_probability: float | None = None,
        parent_weights: Array | None = None,
    ) -> list[Child]:
        """Make children by crossover or mutation of tournament winners.

        Parameters
        ----------
        trees, costs : sequences of equal length
            The population.
        count : int
        rng : numpy.random.Generator
        crossover_probability : float, optional
            In place of the configured one.
        parent_weights : array, shape (members,), optional
            Parents are drawn by these weights instead of by tournaments.
        """
        chance = self.config.crossover_probability if crossover_probability is None else crossover_probability
        cumulative = None if parent_weights is None else np.cumsum(parent_weights)

        def parent() -> int:
            if cumulative is None:
                return self._tournament(costs, rng)
            return min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], "right")), len(trees) - 1)

        found = []
        for _ in range(count):
            first = parent()
            second = parent() if rng.random() < chance else None
            found.append(self._child(trees, first, second, rng))
        return found

    def _tournament(self, costs: Sequence[float], rng: np.random.Generator) -> int:
        """Return the cheapest of a few distinct members, drawn by Floyd's method."""
        size, total = min(self.config.tournament_size, len(costs)), len(costs)
        drawn: set[int] = set()
        best, best_cost = -1, float("inf")
        for upper in range(total - size, total):
            candidate = int(rng.random() * (upper + 1))
            if candidate in drawn:
                candidate = upper
            drawn.add(candidate)
            if best < 0 or costs[candidate] < best_cost:
                best, best_cost = candidate, costs[candidate]
        return best

    def _child(self, trees: Sequence[Node], first: int, second: int | None, rng: np.random.Generator) -> Child:
        tree = trees[first]
        position = int(rng.random() * tree.size)
        if second is not None:
            other = trees[second]
            new = tree.replace(position, other.at(int(rng.random() * other.size)))
        else:
            new = tree.replace(position, self._new_subtree(rng))
        if not self._fits(new):
            return Child(tree, "do_nothing", (first,))
        return Child(new, "randomize", (first,)) if second is None else Child(new, "crossover", (first, second))

    def _new_subtree(self, rng: np.random.Generator) -> Node:
        if rng.random() < self.config.terminal_mutation:
            return self.sampler.terminal(rng)
        return self.sampler.tree(self.config.mutation_depth, rng)

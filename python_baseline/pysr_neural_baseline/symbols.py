"""Random leaves, operators and trees of a search's language, uniform or by a proposer's prior.

Owns: what a symbol may be and how likely it is.  Does not own: where in a tree it goes (`mutation`), the grow method
(`pysr_neural.expression.sample`).
"""

from collections.abc import Sequence

import numpy as np

from pysr_neural.expression.edits import NOTHING, Edit, edited
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.expression.sample import pick
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Prior

CONSTANT, VARIABLE, FIRST_OPERATOR = 0, 1, 2
"""Columns of `Prior.pairs`."""
INITIAL_OPERATORS = 3


class Symbols:
    """Draws building blocks, as SymbolicRegression.jl does or by a prior.

    Parameters
    ----------
    problem : Problem
    constants : bool
        Whether leaves may be constants.
    prior : Prior, optional
        Without one, operators and variables are equally likely, and half of the leaves are constants.
    """

    def __init__(self, problem: Problem, constants: bool = True, prior: Prior | None = None) -> None:
        self.operators = tuple(zip(problem.operators.names, problem.operators.arities, strict=True))
        self.index = problem.operators.index
        self.variables = tuple([variable(i) for i in range(problem.X.shape[1])])
        self.constants = constants
        self.prior = prior

    def leaf(self, parent: Node | None, rng: np.random.Generator) -> Node:
        """Draw a constant from the normal distribution, or a variable.

        Parameters
        ----------
        parent : Node or None
            Below which it goes; None for the root.
        rng : numpy.random.Generator
        """
        if self.constants and rng.random() < self._constant_share(parent):
            return constant(float(rng.standard_normal()))
        return self.variables[self.feature(rng)]

    def feature(self, rng: np.random.Generator, other_than: int | None = None) -> int:
        """Draw a variable's index, if wanted another one than a given one of several."""
        weights = np.ones(len(self.variables)) if self.prior is None else self.prior.variables.copy()
        if other_than is not None and len(weights) > 1:
            weights[other_than] = 0.0
        return _drawn(weights, rng)

    def operator(
        self, parent: Node | None, rng: np.random.Generator, arities: Sequence[int] | None = None
    ) -> tuple[str, int] | None:
        """Draw an operator and its arity; None if there is none of the wanted arities, or the prior admits none."""
        allowed = [i for i, (_, arity) in enumerate(self.operators) if arities is None or arity in arities]
        if not allowed:
            return None
        if self.prior is None:
            return self.operators[pick(allowed, rng)]
        weights = self.prior.pairs[self._row(parent), FIRST_OPERATOR:][allowed]
        if not weights.sum() > 0:
            weights = self.prior.operators[allowed]
        return self.operators[allowed[_drawn(weights, rng)]] if weights.sum() > 0 else None

    def over(self, name: str, arity: int, rng: np.random.Generator, kept: Node | None = None) -> Node:
        """Make an operator over random leaves, one of which is replaced by ``kept``, if given."""
        bare = Node(name, (self.variables[0],) * arity)
        children = [self.leaf(bare, rng) for _ in range(arity)]
        if kept is not None:
            children[int(rng.random() * arity)] = kept
        return Node(name, tuple(children))

    def tree(self, size: int, rng: np.random.Generator) -> Node:
        """Grow a tree of ``size`` nodes, or of one fewer where no operator fits, by expanding random leaves."""
        tree = self.leaf(None, rng)
        while tree.size < size:
            position = pick(leaves(tree), rng)
            found = self.operator(parent_of(tree, position), rng, range(1, size - tree.size + 1))
            if found is None:
                break
            tree = tree.replace(position, self.over(*found, rng))
        return tree

    def initial(self, rng: np.random.Generator) -> Node:
        """Draw an initial member: three operators, each put in place of a random leaf."""
        tree = self.leaf(None, rng)
        for _ in range(INITIAL_OPERATORS):
            tree = edited("add", self.appended(tree, rng), tree)
        return tree

    def appended(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Draw a random operator over random leaves in place of a random leaf."""
        position = pick(leaves(tree), rng)
        found = self.operator(parent_of(tree, position), rng)
        return NOTHING if found is None else Edit(position, -1, self.over(*found, rng))

    def _constant_share(self, parent: Node | None) -> float:
        if self.prior is None:
            return 0.5
        row = self.prior.pairs[self._row(parent)]
        total = float(row[CONSTANT] + row[VARIABLE])
        return float(row[CONSTANT]) / total if total > 0 else 0.5

    def _row(self, parent: Node | None) -> int:
        return len(self.operators) if parent is None else self.index[parent.operator or "", len(parent.children)]


def leaves(tree: Node) -> list[int]:
    """Return the positions of all leaves."""
    return [i for i, node in enumerate(tree) if not node.children]


def parent_of(tree: Node, position: int) -> Node | None:
    """Return the node above a prefix position; None above the root.

    Raises
    ------
    ExpressionError
        If there is no such position.
    """
    above, node = None, tree
    tree.at(position)
    while position:
        above, position = node, position - 1
        for child in node.children:
            if position < child.size:
                node = child
                break
            position -= child.size
    return above


def _drawn(weights: Array, rng: np.random.Generator) -> int:
    """Draw a position by weights ≥ 0 with a positive sum; uniformly where the sum is 0."""
    cumulative = np.cumsum(weights)
    if not cumulative[-1] > 0:
        return int(rng.random() * len(weights))
    return min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], "right")), len(weights) - 1)

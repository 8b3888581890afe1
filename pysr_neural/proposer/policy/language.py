"""A search's language as the policy sees it: its symbols, and the trees made of them.

Owns: `Language`.  Does not own: trees as arrays (`shapes`), populations (`population`), decisions (`walk`).

Symbols are numbered as on the wire, a constant first, then variables, then operators; what is kept comes last.
Features name operators by their row in the operator table, so that one policy serves every operator set; operators
that the table lacks are known by their arity alone.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.edits import KEPT, MOST_OPERANDS, UNDRAWN
from pysr_neural.expression.node import Node, variable
from pysr_neural.operators import OPERATORS, Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.policy.foresight import Foresight, Plants
from pysr_neural.proposer.policy.shapes import Shape, shapes_of

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NAMES = tuple(OPERATORS)
SYMBOL_FEATURES = 3 + MOST_OPERANDS + len(NAMES)
"""Constant, variable, kept; arity; which operator."""
KEPT_SHAPES = 20_000
PLANTS = 400
"""Most small trees that are tried in every place; where there were more, those of two leaves are left out."""


class Language:
    """The symbols of one search.

    Parameters
    ----------
    problem : Problem
    looks_ahead : bool
        Whether states are told what the data say about every node; without, those features are 0.
    """

    def __init__(self, problem: Problem, looks_ahead: bool = True) -> None:
        self.problem, self.looks_ahead = problem, looks_ahead
        self.features = problem.X.shape[1]
        self.operators = tuple(zip(problem.operators.names, problem.operators.arities, strict=True))
        self.first_operator = 1 + self.features
        self.kept = self.first_operator + len(self.operators)
        self.index = {key: self.first_operator + i for i, key in enumerate(self.operators)}
        self.arities = np.zeros(self.kept + 1, dtype=np.int64)
        self.arities[self.first_operator : self.kept] = problem.operators.arities
        self.least_arity = min(problem.operators.arities, default=10**6)
        self.numbers: Ints = np.arange(self.kept + 1)
        self.is_variable: Flags = (self.numbers > 0) & (self.numbers < self.first_operator)
        self.is_operator: Flags = (self.numbers >= self.first_operator) & (self.numbers < self.kept)
        self.is_leaf: Flags = self.is_variable | ((self.numbers == 0) & problem.limits.constants)
        self._shapes: dict[Node, Shape] = {}
        self._leaves = [UNDRAWN, *map(variable, range(self.features))]

    @cached_property
    def symbols(self) -> Floats:
        """Features of every symbol, and of no symbol last; shape (kept + 2, SYMBOL_FEATURES)."""
        table = np.zeros((self.kept + 2, SYMBOL_FEATURES), dtype=np.float32)
        table[0, 0] = table[self.kept, 2] = 1.0
        table[1 : self.first_operator, 1] = 1.0
        for i, (name, arity) in enumerate(self.operators):
            table[self.first_operator + i, 2 + arity] = 1.0
            if name in OPERATORS:
                table[self.first_operator + i, 3 + MOST_OPERANDS + NAMES.index(name)] = 1.0
        return table

    @cached_property
    def options(self) -> Floats:
        """Features of the symbols that may be planted; shape (1, kept + 1, SYMBOL_FEATURES)."""
        return self.symbols[None, : self.kept + 1]

    @cached_property
    def summary(self) -> Array:
        """Features of the language as a whole."""
        counts = [len(self.problem.operators.of_arity(arity)) / 10 for arity in (1, 2, 3)]
        return np.array([np.log(self.features), float(self.problem.limits.constants), *counts])

    @cached_property
    def scale(self) -> float:
        """What losses are divided by."""
        y = self.problem.y
        return float(np.var(y)) or float(np.mean(np.square(y))) or 1.0

    @cached_property
    def plants(self) -> Plants:
        """Every leaf, and every operator of leaves."""
        leaves, operators = np.flatnonzero(self.is_leaf).tolist(), np.flatnonzero(self.is_operator).tolist()
        symbols: list[tuple[int, ...]] = [(leaf,) for leaf in leaves]
        for most in (2, 1):
            few = [(o, int(self.arities[o])) for o in operators if self.arities[o] <= most]
            deeper = [(o, *own) for o, arity in few for own in product(leaves, repeat=arity)]
            if len(deeper) <= PLANTS:
                symbols += deeper
                break
        return Plants(symbols, [self.tree(list(tokens)) for tokens in symbols], self.kept + 1)

    @cached_property
    def foresight(self) -> Foresight:
        """Looks ahead in this search, with all plants in every place."""
        return Foresight(self.problem, self.scale, self.plants)

    def shapes(self, trees: Sequence[Node]) -> list[Shape]:
        """Return trees as arrays; those met before are remembered."""
        new = list({tree: None for tree in trees if tree not in self._shapes})
        if new:
            if len(self._shapes) > KEPT_SHAPES:
                self._shapes.clear()
                new = list(dict.fromkeys(trees))
            self._shapes.update(zip(new, shapes_of(new, self.index, self.features, self.kept + 1), strict=True))
        return [self._shapes[tree] for tree in trees]

    def tree(self, tokens: list[int]) -> Node:
        """Return the tree of some symbols in prefix order, its constants undrawn."""
        stack: list[Node] = []
        for token in reversed(tokens):
            if token == self.kept:
                stack.append(KEPT)
            elif token < self.first_operator:
                stack.append(self._leaves[token])
            else:
                name, arity = self.operators[token - self.first_operator]
                stack.append(Node(name, tuple([stack.pop() for _ in range(arity)])))
        return stack[0]

    def tokens(self, planted: Node) -> list[int]:
        """Return the symbols of what an edit plants, in prefix order."""
        return [self._token(node) for node in planted]

    def _token(self, node: Node) -> int:
        if node.children:
            return self.index[node.operator or "", len(node.children)]
        if node.index is None:
            return 0
        return self.kept if node.index == KEPT.index else 1 + node.index

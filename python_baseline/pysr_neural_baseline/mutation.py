"""SymbolicRegression.jl's kinds of mutation, and crossover, on immutable trees.

Owns: what each kind decides, and when a kind can apply.  Does not own: how often (`config.MutationWeights`), random
symbols (`symbols`), doing what was decided (`pysr_neural.expression.edits`), limits on the result (`variation`).

Each kind is a method by its name in `pysr_neural.state.KINDS`, from a tree to an edit of it; where it cannot apply, the
edit changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple

import numpy as np

from pysr_neural.expression.edits import (
    DOWN,
    KEPT,
    MOST_OPERANDS,
    NEGATED,
    NOTHING,
    PAIRS,
    UP,
    Edit,
    edited,
)
from pysr_neural.expression.node import Node, constant
from pysr_neural.expression.sample import pick
from pysr_neural.expression.simplify import simplify
from pysr_neural.state import KINDS
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.symbols import Symbols, parent_of

MUTATIONS = KINDS[: KINDS.index("crossover")]
_MANY_CONSTANTS = 8
"""From so many constants on, the kind ``constant`` has its full weight."""
_SMALLEST_CHANGE = 0.1
_CONSTANT, _OPERATOR, _FEATURE, _SWAP, _ADD, _INSERT, _DELETE, _SIMPLIFY, _DO_NOTHING, _OPTIMIZE = (
    MUTATIONS.index(kind)
    for kind in (
        "constant", "operator", "feature", "swap", "add", "insert", "delete", "simplify", "do_nothing", "optimize",
    )
)  # fmt: skip


class Mutations:
    """The kinds of mutation for one search.

    Parameters
    ----------
    config : BasicSRConfig
    symbols : Symbols
    max_size : int
    refine : callable
        From a tree to the tree with fitted constants.
    """

    def __init__(self, config: BasicSRConfig, symbols: Symbols, max_size: int, refine: Callable[[Node], Node]) -> None:
        self.config, self.symbols, self.max_size, self.refine = config, symbols, max_size, refine
        self._weights = astuple(config.mutations)

    def weights(self, tree: Node, multipliers: Sequence[float] | None = None) -> list[float]:
        """Return the weight of each of `MUTATIONS` for a tree: 0 for what cannot apply, at least one above 0.

        Parameters
        ----------
        tree : Node
        multipliers : sequence of float, optional
            A proposer's, one per kind of `pysr_neural.state.KINDS`.
        """
        weights = list(self._weights)
        if multipliers is not None:
            weights = [weight * by for weight, by in zip(weights, multipliers, strict=False)]
        constants = sum(node.value is not None for node in tree)
        weights[_CONSTANT] *= min(_MANY_CONSTANTS, constants) / _MANY_CONSTANTS
        if not constants:
            weights[_OPTIMIZE] = 0.0
        if len(self.symbols.variables) == 1 or not any(node.index is not None for node in tree):
            weights[_FEATURE] = 0.0
        if not tree.children:
            for kind in (_OPERATOR, _SWAP, _DELETE, _SIMPLIFY):
                weights[kind] = 0.0
        elif not any(len(node.children) > 1 for node in tree):
            weights[_SWAP] = 0.0
        if tree.size >= self.max_size:
            weights[_ADD] = weights[_INSERT] = 0.0
        if not self.config.simplify:
            weights[_SIMPLIFY] = 0.0
        if not any(weights):
            weights[_DO_NOTHING] = 1.0
        return weights

    def apply(self, kind: str, tree: Node, temperature: float, rng: np.random.Generator) -> Node:
        """Mutate a tree: draw an edit, and do it."""
        return self.perform(kind, self.draw(kind, tree, temperature, rng), tree)

    def draw(self, kind: str, tree: Node, temperature: float, rng: np.random.Generator) -> Edit:
        """Draw an edit of a tree.

        Parameters
        ----------
        kind : str
            One of `MUTATIONS`.
        tree : Node
        temperature : float
            From 1 to 0; scales changes of constants.
        rng : numpy.random.Generator
        """
        if kind == "constant":
            return self.constant(tree, temperature, rng)
        made: Edit = getattr(self, kind)(tree, rng)
        return made

    def perform(self, kind: str, edit: Edit, tree: Node) -> Node:
        """Return a tree after an edit of one of `MUTATIONS`."""
        if kind == "simplify":
            return simplify(tree, self.symbols.constants)
        return self.refine(tree) if kind == "optimize" else edited(kind, edit, tree)

    def constant(self, tree: Node, temperature: float, rng: np.random.Generator) -> Edit:
        """Multiply or divide a random constant by a random factor."""
        places = [i for i, node in enumerate(tree) if node.value is not None]
        if not places:
            return NOTHING
        position = pick(places, rng)
        factor = self.factor(temperature, rng)
        place = UP if rng.random() < 0.5 else DOWN
        place += NEGATED if rng.random() < self.config.negation else 0
        return Edit(position, place, changed(tree.at(position), place, factor))

    def factor(self, temperature: float, rng: np.random.Generator) -> float:
        """Draw a factor from 1 to the largest."""
        drawn: float = (self.config.perturbation * temperature + 1 + _SMALLEST_CHANGE) ** rng.random()
        return drawn

    def operator(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Draw the operator of a random node anew, among those of its arity."""
        places = [i for i, node in enumerate(tree) if node.children]
        if not places:
            return NOTHING
        position = pick(places, rng)
        arity = len(tree.at(position).children)
        found = self.symbols.operator(parent_of(tree, position), rng, (arity,))
        return NOTHING if found is None else Edit(position, -1, Node(found[0], (KEPT,) * arity))

    def feature(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Put another variable in place of a random variable."""
        places = [i for i, node in enumerate(tree) if node.index is not None]
        if not places or len(self.symbols.variables) == 1:
            return NOTHING
        position = pick(places, rng)
        other = self.symbols.feature(rng, other_than=tree.at(position).index)
        return Edit(position, -1, self.symbols.variables[other])

    def swap(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Exchange two operands of a random node."""
        places = [i for i, node in enumerate(tree) if len(node.children) > 1]
        if not places:
            return NOTHING
        position = pick(places, rng)
        arity = len(tree.at(position).children)
        first = int(rng.random() * arity)
        second = (first + 1 + int(rng.random() * (arity - 1))) % arity
        return Edit(position, PAIRS.index((min(first, second), max(first, second))))

    def rotate(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Rotate a random node with one of its operator children: the child rises, the node takes a grandchild."""
        places = [i for i, node in enumerate(tree) if any(child.children for child in node.children)]
        if not places:
            return NOTHING
        position = pick(places, rng)
        root = tree.at(position)
        which = pick([i for i, child in enumerate(root.children) if child.children], rng)
        return Edit(position, MOST_OPERANDS * which + int(rng.random() * len(root.children[which].children)))

    def add(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Put an operator in place of a leaf, or on top of the tree; half and half."""
        if rng.random() < 0.5:
            return self.symbols.appended(tree, rng)
        return self._with_operator_above(tree, 0, rng)

    def insert(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Put an operator above a random node."""
        return self._with_operator_above(tree, int(rng.random() * tree.size), rng)

    def _with_operator_above(self, tree: Node, position: int, rng: np.random.Generator) -> Edit:
        found = self.symbols.operator(parent_of(tree, position), rng)
        return NOTHING if found is None else Edit(position, -1, self.symbols.over(*found, rng, kept=KEPT))

    def delete(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Put one of its operands in place of a random operator."""
        places = [i for i, node in enumerate(tree) if node.children]
        if not places:
            return NOTHING
        position = pick(places, rng)
        return Edit(position, int(rng.random() * len(tree.at(position).children)))

    def randomize(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Draw a new tree of random size."""
        return Edit(0, -1, self.symbols.tree(1 + int(rng.random() * self.max_size), rng))

    def simplify(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Simplify the tree: nothing is drawn."""
        return NOTHING

    def do_nothing(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Return the tree: its copy is young again."""
        return NOTHING

    def optimize(self, tree: Node, rng: np.random.Generator) -> Edit:
        """Fit the constants: nothing is drawn."""
        return NOTHING


def changed(node: Node, place: int, factor: float) -> Node:
    """Return a constant after a change in a direction of `pysr_neural.expression.edits` by a factor."""
    value = (node.value or 0.0) * (1 / factor if place & DOWN else factor)
    return constant(-value if place & NEGATED else value)


def cross(first: Node, second: Node, rng: np.random.Generator) -> Edit:
    """Draw where a random subtree of the second tree goes in the first."""
    position = int(rng.random() * first.size)
    return Edit(position, int(rng.random() * second.size))

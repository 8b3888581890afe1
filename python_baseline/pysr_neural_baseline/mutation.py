"""SymbolicRegression.jl's kinds of mutation, and crossover, on immutable trees.

Owns: what each kind does, and when a kind can apply.  Does not own: how often (`config.MutationWeights`), random
symbols (`symbols`), limits on the result (`variation`).

Each kind is a method by its name in `pysr_neural.state.KINDS`, from a tree to a new tree; where it cannot apply, it
returns the tree.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple

import numpy as np

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
        """Mutate a tree.

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
        made: Node = getattr(self, kind)(tree, rng)
        return made

    def constant(self, tree: Node, temperature: float, rng: np.random.Generator) -> Node:
        """Multiply or divide a random constant by a random factor."""
        places = [i for i, node in enumerate(tree) if node.value is not None]
        if not places:
            return tree
        position = pick(places, rng)
        factor = (self.config.perturbation * temperature + 1 + _SMALLEST_CHANGE) ** rng.random()
        value = (tree.at(position).value or 0.0) * (factor if rng.random() < 0.5 else 1 / factor)
        return tree.replace(position, constant(-value if rng.random() < self.config.negation else value))

    def operator(self, tree: Node, rng: np.random.Generator) -> Node:
        """Draw the operator of a random node anew, among those of its arity."""
        places = [i for i, node in enumerate(tree) if node.children]
        if not places:
            return tree
        position = pick(places, rng)
        node = tree.at(position)
        found = self.symbols.operator(parent_of(tree, position), rng, (len(node.children),))
        return tree if found is None else tree.replace(position, Node(found[0], node.children))

    def feature(self, tree: Node, rng: np.random.Generator) -> Node:
        """Put another variable in place of a random variable."""
        places = [i for i, node in enumerate(tree) if node.index is not None]
        if not places or len(self.symbols.variables) == 1:
            return tree
        position = pick(places, rng)
        other = self.symbols.feature(rng, other_than=tree.at(position).index)
        return tree.replace(position, self.symbols.variables[other])

    def swap(self, tree: Node, rng: np.random.Generator) -> Node:
        """Exchange two operands of a random node."""
        places = [i for i, node in enumerate(tree) if len(node.children) > 1]
        if not places:
            return tree
        position = pick(places, rng)
        node = tree.at(position)
        first = int(rng.random() * len(node.children))
        second = (first + 1 + int(rng.random() * (len(node.children) - 1))) % len(node.children)
        children = list(node.children)
        children[first], children[second] = children[second], children[first]
        return tree.replace(position, Node(node.operator, tuple(children)))

    def rotate(self, tree: Node, rng: np.random.Generator) -> Node:
        """Rotate a random node with one of its operator children: the child rises, the node takes a grandchild."""
        places = [i for i, node in enumerate(tree) if any(child.children for child in node.children)]
        if not places:
            return tree
        position = pick(places, rng)
        root = tree.at(position)
        which = pick([i for i, child in enumerate(root.children) if child.children], rng)
        pivot = root.children[which]
        place = int(rng.random() * len(pivot.children))
        lowered = Node(root.operator, _with(root.children, which, pivot.children[place]))
        return tree.replace(position, Node(pivot.operator, _with(pivot.children, place, lowered)))

    def add(self, tree: Node, rng: np.random.Generator) -> Node:
        """Put an operator in place of a leaf, or on top of the tree; half and half."""
        if rng.random() < 0.5:
            return self.symbols.append(tree, rng)
        return self._with_operator_above(tree, 0, rng)

    def insert(self, tree: Node, rng: np.random.Generator) -> Node:
        """Put an operator above a random node."""
        return self._with_operator_above(tree, int(rng.random() * tree.size), rng)

    def _with_operator_above(self, tree: Node, position: int, rng: np.random.Generator) -> Node:
        found = self.symbols.operator(parent_of(tree, position), rng)
        if found is None:
            return tree
        return tree.replace(position, self.symbols.over(*found, rng, kept=tree.at(position)))

    def delete(self, tree: Node, rng: np.random.Generator) -> Node:
        """Put one of its operands in place of a random operator."""
        places = [i for i, node in enumerate(tree) if node.children]
        if not places:
            return tree
        position = pick(places, rng)
        return tree.replace(position, pick(tree.at(position).children, rng))

    def simplify(self, tree: Node, rng: np.random.Generator) -> Node:
        """Simplify the tree."""
        return simplify(tree, self.symbols.constants)

    def randomize(self, tree: Node, rng: np.random.Generator) -> Node:
        """Draw a new tree of random size."""
        return self.symbols.tree(1 + int(rng.random() * self.max_size), rng)

    def do_nothing(self, tree: Node, rng: np.random.Generator) -> Node:
        """Return the tree: its copy is young again."""
        return tree

    def optimize(self, tree: Node, rng: np.random.Generator) -> Node:
        """Fit the constants."""
        return self.refine(tree)


def cross(first: Node, second: Node, rng: np.random.Generator) -> Node:
    """Put a random subtree of the second tree in place of a random subtree of the first."""
    position = int(rng.random() * first.size)
    return first.replace(position, second.at(int(rng.random() * second.size)))


def _with(children: tuple[Node, ...], position: int, new: Node) -> tuple[Node, ...]:
    return (*children[:position], new, *children[position + 1 :])

"""The one formula that is handed over from a front of loss against complexity.

Owns: `DescriptionLength`, the rule of BasicSR, the demo and the benchmarks.  Does not own: fronts, other rules
(``pysr-neural study formula`` compares them).

Handed over is the formula with which data and formula together take the fewest bits.  The data take
``(n - 1) / 2 * log2(FVU)`` more than with their mean alone.  A node of the formula takes `NODE_BITS`.  A fitted
constant takes as many bits as data with that rest can tell of it, ``log2(n / FVU) / 2``; a whole number no more than
its digits.  A constant that scales or shifts comes with its operator, so that a free slope is little dearer than a
wrong one.  The fraction of variance unexplained (FVU) counts as `FLOOR` at least, so that of several exact formulas
the simplest is handed over, whatever rounding left of each.

References
----------
J. Rissanen, Modeling by shortest data description, Automatica 14, 1978.
"""

import math
from collections.abc import Sequence

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array

NODE_BITS = 2.0
"""Chosen by `pysr-neural study formula`; an even choice among a dozen symbols would take 3.6."""
FLOOR = 1e-12
"""Of FVU: what engines that calculate in single precision leave of exact formulas, and below what any stops at."""
LARGEST_WHOLE = 1e6
_ARITHMETIC = frozenset("+-*/")


class DescriptionLength:
    """Tells formulas of one target apart by the bits that they and their residuals take.

    Parameters
    ----------
    y : array, shape (rows,)
        Target of the search.
    """

    def __init__(self, y: Array) -> None:
        self.rows = len(y)
        self.scale = float(np.var(y)) or float(np.mean(np.square(y))) or 1.0

    def of(self, tree: Node, loss: float) -> float:
        """Return the bits of a formula and of what it leaves unexplained.

        Parameters
        ----------
        tree : Node
        loss : float
            Mean squared error on y.

        Returns
        -------
        float
            Relative to the mean of y, so mostly below 0; infinite if the loss is not finite.
        """
        if not math.isfinite(loss):
            return math.inf
        unexplained = max(loss / self.scale, FLOOR)
        fitted = 0.5 * math.log2(max(self.rows / min(unexplained, 1.0), 2.0))
        return 0.5 * (self.rows - 1) * math.log2(unexplained) + formula_bits(tree, fitted)

    def choose(self, trees: Sequence[Node], losses: Sequence[float]) -> int:
        """Return the position of the formula to hand over; of equals, the first.

        Parameters
        ----------
        trees : sequence of Node
            At least one.
        losses : sequence of float
            Their mean squared errors on y.
        """
        lengths = [self.of(tree, loss) for tree, loss in zip(trees, losses, strict=True)]
        return lengths.index(min(lengths))


def formula_bits(tree: Node, fitted: float, node: float = NODE_BITS) -> float:
    """Return the bits that a formula takes, each of its fitted constants and each of its nodes taking so many."""
    if tree.value is not None:
        return node + _constant_bits(tree.value, fitted)
    others = [child for child in tree.children if child.value is None]
    if tree.operator in _ARITHMETIC and len(tree.children) == 2 and len(others) == 1:
        (by,) = [child.value for child in tree.children if child.value is not None]
        return _constant_bits(by, fitted) + formula_bits(others[0], fitted, node)
    return node + sum(formula_bits(child, fitted, node) for child in tree.children)


def _constant_bits(value: float, fitted: float) -> float:
    whole = abs(value) < LARGEST_WHOLE and value == round(value)
    return min(fitted, 1.0 + math.log2(1.0 + abs(value))) if whole else fitted

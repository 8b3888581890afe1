"""Parts of answers, with their values: what `joins.forms` joins.

Owns: which expressions are worth joining, their values and moments, the choice of the best pairs.  Does not own: the
joins.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node, apply
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet

PARTS = 240
"""Most parts of a library."""
BLOCKS, BLOCK_VARIABLES = 120, 9
"""Most building blocks, and most variables that they are made of."""
PER_FORM = 3
"""Joins kept of each form and target."""
SIZE_PRICE = 0.08
"""What a node may cost, in units of the logarithm of the unexplained fraction."""
RESOLUTION = 1e-10
"""Unexplained fraction below which joins are alike."""
NEGLIGIBLE = 1e-7
HUGE = 1e60


def building_blocks(variables: Sequence[Node], operators: OperatorSet) -> list[Node]:
    """Return what laws are often made of, sampled or not: squares, products, squares of differences and ratios, cubes.

    As far as there is room, unary operators of all these come as well.

    Parameters
    ----------
    variables : sequence of Node
        The most important ones first.
    operators : OperatorSet
        Only these are used.

    Returns
    -------
    list of Node
        Distinct, at most `BLOCKS`.
    """
    names = operators.index
    variables = variables[:BLOCK_VARIABLES]

    def square(tree: Node) -> Node:
        return apply("square", tree) if ("square", 1) in names else apply("*", tree, tree)

    if ("*", 2) not in names:
        return []
    found = [square(each) for each in variables]
    found += [apply("*", *pair) for pair in itertools.combinations(variables, 2)]
    if ("-", 2) in names:
        found += [square(apply("-", *pair)) for pair in itertools.combinations(variables, 2)]
    if ("/", 2) in names:
        found += [square(apply("/", *pair)) for pair in itertools.permutations(variables, 2)]
    found += [apply("*", each, square(each)) for each in variables]
    found += [apply(name, each) for each in [*variables, *found] for name, arity in names if arity == 1]
    return list(dict.fromkeys(found))[:BLOCKS]


def most_frequent(trees: Sequence[Node]) -> list[Node]:
    """Return the subexpressions of trees, the most frequent first."""
    counts: Counter[Node] = Counter()
    for tree in trees:
        counts.update(tree)
    return sorted(counts, key=lambda node: (-counts[node], node.size))


@dataclass(frozen=True)
class Factors:
    """Second factors of products of two parts, and the moments of all the products.

    Parameters
    ----------
    values : array, shape (parts, rows)
        Of the factors, none above 1.
    means, variances : array, shape (parts, parts)
        Of each scaled part times each factor.
    """

    values: Array
    means: Array
    variances: Array


@dataclass(frozen=True)
class Slopes:
    """What a factor f and its product f g with each part g have in common, for fits of ``a f g + c f``.

    Parameters
    ----------
    values : array, shape (parts, rows)
        Of the factors, none above 1.
    squares : array, shape (parts,)
        Sum of squares of each factor.
    shared : array, shape (parts, parts)
        Scalar product of f g, g being a unit, with f.
    free : array, shape (parts, parts)
        Square of f g that f does not explain; 0 where that is too little to be told from rounding.
    """

    values: Array
    squares: Array
    shared: Array
    free: Array


class Library:
    """Parts with their values.

    Parameters
    ----------
    candidates : sequence of Node
        Expressions, the most important first; constants are left out.
    X : array, shape (rows, features)

    Attributes
    ----------
    parts : list of Node
        At most `PARTS`; of those equal up to a factor the smallest.
    values, scaled, units : array, shape (parts, rows)
        Their values, finite and not constant; the same, none above 1; the same with mean 0 and norm 1.
    means, norms : array, shape (parts,)
        What was taken away from and divided out of the units.
    size_prices : array, shape (parts,)
        By what factor of the unexplained fraction a part's nodes make it dearer.
    """

    def __init__(self, candidates: Sequence[Node], X: Array) -> None:
        parts = [node for node in dict.fromkeys(candidates) if node.value is None][: 2 * PARTS]
        values = _values(parts, X)
        largest = values[np.arange(len(values)), np.abs(values).argmax(axis=1)]  # With its sign.
        usable = (np.abs(largest) > 1 / HUGE) & (np.abs(largest) < HUGE)
        usable &= np.ptp(values, axis=1) > NEGLIGIBLE * np.abs(largest)
        scaled = values / largest[:, None]
        alike = np.round(scaled, 12) + 0.0  # Without it there are two zeros.
        chosen: dict[bytes, int] = {}
        for i in np.flatnonzero(usable).tolist():
            known = chosen.setdefault(alike[i].tobytes(), i)
            if parts[i].size < parts[known].size:
                chosen[alike[i].tobytes()] = i
        kept = list(chosen.values())[:PARTS]
        self.parts: list[Node] = [parts[i] for i in kept]
        self.values: Array = values[kept]
        self.scaled: Array = scaled[kept]
        self.units, self.means, self.norms = _centred(self.values)
        sizes = np.array([node.size for node in self.parts])
        self._pair_sizes: Array = sizes[:, None] + sizes
        self.size_prices: Array = np.exp(SIZE_PRICE * sizes)
        self._prices: Array = self.size_prices[:, None] * self.size_prices

    @cached_property
    def inverse(self) -> Array:
        """Reciprocals of the parts, none above 1; zeros where one is not finite."""
        inverse = 1 / self.scaled
        largest = np.abs(inverse).max(axis=1)
        return np.where((largest < HUGE)[:, None], inverse / largest[:, None], 0.0)

    @cached_property
    def logs(self) -> Array:
        """Logarithms of the parts' sizes; infinite where one is zero."""
        return np.log(np.abs(self.values))

    @cached_property
    def correlations(self) -> Array:
        """Between the parts, shape (parts, parts)."""
        return self.units @ self.units.T

    @cached_property
    def as_factors(self) -> Factors:
        """The parts as second factors."""
        return self._factors(self.scaled)

    @cached_property
    def as_divisors(self) -> Factors:
        """The parts' reciprocals as second factors."""
        return self._factors(self.inverse)

    @cached_property
    def slopes(self) -> Slopes:
        """The parts as factors of a line."""
        return self._slopes(self.scaled)

    @cached_property
    def inverse_slopes(self) -> Slopes:
        """The parts' reciprocals as factors of a line."""
        return self._slopes(self.inverse)

    def _factors(self, values: Array) -> Factors:
        rows = values.shape[1]
        means = self.scaled @ values.T / rows
        return Factors(values, means, np.square(self.scaled) @ np.square(values).T / rows - np.square(means))

    def _slopes(self, values: Array) -> Slopes:
        squared = np.square(values)
        squares, shared = squared.sum(axis=1), squared @ self.units.T
        known = np.square(shared) / squares[:, None]
        free = squared @ np.square(self.units).T - known
        return Slopes(values, squares, shared, np.where(free > NEGLIGIBLE * known, free, 0.0))

    def best(self, unexplained: Array, max_size: int) -> list[tuple[int, int]]:
        """Choose pairs that leave little unexplained for their size: parts in that order, each with its best partner.

        Parameters
        ----------
        unexplained : array, shape (parts, parts)
            Infinite or NaN where there is nothing to be chosen.
        max_size : int
            Of the two together with an operator.
        """
        price = np.maximum(unexplained, RESOLUTION) * self._prices
        price[~(price < np.inf) | (self._pair_sizes >= max_size)] = np.inf
        partners = np.argmin(price, axis=1)
        prices = price[np.arange(len(price)), partners]
        order = np.argsort(prices, kind="stable")[:PER_FORM]
        return [(int(i), int(partners[i])) for i in order if np.isfinite(prices[i])]


def _centred(values: Array) -> tuple[Array, Array, Array]:
    """Return rows with mean 0 and norm 1, and the means and norms before."""
    means = values.mean(axis=1)
    rest = values - means[:, None]
    norms = np.sqrt(np.einsum("ij,ij->i", rest, rest))
    return rest / norms[:, None], means, norms


def _values(parts: Sequence[Node], X: Array) -> Array:
    """Evaluate parts, each subexpression once."""
    columns = np.ascontiguousarray(X.T)
    known: dict[Node, Any] = {}

    def evaluated(node: Node) -> Any:
        found = known.get(node)
        if found is None:
            found = known[node] = IEEE[node.operator or ""](*[value_of(child) for child in node.children])
        return found

    def value_of(node: Node) -> Any:
        if node.index is not None:
            return columns[node.index]
        return np.float64(node.value) if node.operator is None else evaluated(node)

    values = np.empty((len(parts), len(X)))
    for row, node in zip(values, parts, strict=True):
        row[:] = value_of(node)
    return values

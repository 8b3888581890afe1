"""Parts of answers, with their values: what `proposer.combine` joins.

Owns: which subexpressions are worth joining, their values and correlations, the choice of the best pairs.  Does not
own: the joins.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations
from typing import Any

import numpy as np

from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node, apply, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet

PARTS = 240
"""Most parts of a library."""
BLOCKS = 120
"""Most building blocks."""
PER_FORM = 3
"""Pairs kept of each form and target."""
SIZE_PRICE = 0.08
"""What a node may cost, in units of the logarithm of the unexplained fraction."""
RESOLUTION = 1e-10
"""Unexplained fraction below which pairs are alike."""
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
        At most `BLOCKS`.
    """
    names = operators.index

    def square(tree: Node) -> Node:
        return apply("square", tree) if ("square", 1) in names else apply("*", tree, tree)

    if ("*", 2) not in names:
        return []
    found = [square(each) for each in variables]
    found += [apply("*", *pair) for pair in combinations(variables, 2)]
    if ("-", 2) in names:
        found += [square(apply("-", *pair)) for pair in combinations(variables, 2)]
    if ("/", 2) in names:
        found += [square(apply("/", *pair)) for pair in permutations(variables, 2)]
    found += [apply("*", each, square(each)) for each in variables]
    inner = [*variables, *found]
    found += [apply(name, each) for each in inner for name, arity in names if arity == 1]
    return found[:BLOCKS]


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


class Library:
    """Parts with their values; all variables are among them.

    Parameters
    ----------
    trees : sequence of Node
        Samples, whose most frequent subexpressions become parts.
    first : sequence of Node
        Expressions whose subexpressions come before those.
    X : array, shape (rows, features)

    Attributes
    ----------
    parts : list of Node
    values, scaled, units : array, shape (parts, rows)
        Their values, finite and not constant; the same, none above 1; the same with mean 0 and norm 1.
    means, norms : array, shape (parts,)
        What was taken away from and divided out of the units.
    size_prices : array, shape (parts,)
        By what factor of the unexplained fraction a part's nodes make it dearer.
    """

    def __init__(self, trees: Sequence[Node], first: Sequence[Node], X: Array) -> None:
        parts = _ranked(trees, first, X.shape[1])
        values = _values(parts, X)
        largest = np.abs(values).max(axis=1)
        usable = (largest > 1 / HUGE) & (largest < HUGE) & (np.ptp(values, axis=1) > NEGLIGIBLE * largest)
        scaled = values / largest[:, None]
        # Equal up to a factor: one is enough.
        alike = np.round(scaled, 12)
        distinct = {alike[i].tobytes(): i for i in reversed(np.flatnonzero(usable).tolist())}
        chosen = sorted(distinct.values())[:PARTS]
        self.parts: list[Node] = [parts[i] for i in chosen]
        self.values: Array = values[chosen]
        self.scaled: Array = scaled[chosen]
        self.units, self.means, self.norms = centred(self.values)
        sizes = np.array([node.size for node in self.parts])
        self._pair_sizes: Array = sizes[:, None] + sizes
        self.size_prices: Array = np.exp(SIZE_PRICE * sizes)
        self._prices: Array = self.size_prices[:, None] * self.size_prices

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
        """The parts' reciprocals as second factors; zeros where one is not finite."""
        inverse = 1 / self.scaled
        largest = np.abs(inverse).max(axis=1)
        return self._factors(np.where((largest < HUGE)[:, None], inverse / largest[:, None], 0.0))

    def _factors(self, values: Array) -> Factors:
        rows = values.shape[1]
        means = self.scaled @ values.T / rows
        return Factors(values, means, np.square(self.scaled) @ np.square(values).T / rows - np.square(means))

    def best(self, unexplained: Array, max_size: int) -> list[tuple[int, int]]:
        """Choose pairs that leave little unexplained for their size: parts in that order, each with its best partner.

        Parameters
        ----------
        unexplained : array, shape (parts, parts)
        max_size : int
            Of the two together with an operator.
        """
        price = np.maximum(unexplained, RESOLUTION) * self._prices
        price[self._pair_sizes >= max_size] = np.inf
        partners = np.argmin(price, axis=1)
        prices = price[np.arange(len(price)), partners]
        order = np.argsort(prices, kind="stable")[:PER_FORM]
        return [(int(i), int(partners[i])) for i in order if np.isfinite(prices[i])]


def centred(values: Array) -> tuple[Array, Array, Array]:
    """Return rows with mean 0 and norm 1, and the means and norms before."""
    means = values.mean(axis=1)
    rest = values - means[:, None]
    norms = np.sqrt(np.einsum("ij,ij->i", rest, rest))
    return rest / np.maximum(norms, 1 / HUGE)[:, None], means, norms


def _ranked(trees: Sequence[Node], first: Sequence[Node], features: int) -> list[Node]:
    """Return variables, then subexpressions of what comes first, then those of the samples by frequency."""
    counts: Counter[Node] = Counter()
    for tree in trees:
        counts.update(tree)
    frequent = sorted(counts, key=lambda node: (-counts[node], node.size))
    leading = [variable(i) for i in range(features)]
    ranked = dict.fromkeys([*leading, *(node for tree in first for node in tree), *frequent])
    return [node for node in ranked if node.value is None][: 2 * PARTS]


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

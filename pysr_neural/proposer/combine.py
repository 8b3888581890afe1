"""Whole answers out of parts: sums, products and quotients of two sampled subexpressions, found by linear regression.

Owns: which pairs of subexpressions, scaled and shifted, explain the data.  Does not own: sampling (`transformer`), the
fit of all constants (`expression.fit`).

A small model seldom writes a long answer down whole, but often writes down its parts, each in another sample.  All
subexpressions of all samples form a library; for each pair (f, g) of it the least-squares fit of four forms is scored,
all pairs by one matrix product: ``a f + b g + c``, ``f (a g + c)``, ``f / (a g + c)`` and ``(a g + c) / f``.  The same
forms are tried below those unary operators of the search that can be inverted: ``h(…)`` explains y where ``…`` explains
``h⁻¹(y)``.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet

LIBRARY = 320
"""Most subexpressions that are paired."""
LARGEST_PART = 11
PER_FORM = 3
"""Pairs kept of each form and target."""
FEWEST_ROWS = 6
SIZE_PRICE = 0.08
"""What a node may cost, in units of the logarithm of the unexplained fraction."""
RESOLUTION = 1e-10
"""Unexplained fraction below which pairs are alike."""
INDEPENDENT = 1e-7
"""Least share of a part's variance that the other part must not explain."""
NEGLIGIBLE = 1e-7
HUGE = 1e60
INVERSES: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "exp": np.log,
        "log": np.exp,
        "log10": lambda y: np.power(10.0, y),
        "log2": np.exp2,
        "log1p": np.expm1,
        "sqrt": lambda y: np.where(y >= 0, np.square(y), np.nan),
        "square": np.sqrt,
        "cube": np.cbrt,
        "inv": np.reciprocal,
        "sin": np.arcsin,
        "cos": np.arccos,
        "tan": np.arctan,
        "tanh": np.arctanh,
        "sinh": np.arcsinh,
        "asin": np.sin,
        "acos": np.cos,
        "atan": np.tan,
    }
)
"""Operator → a function that undoes it, NaN where there is nothing to undo."""


class Library:
    """Subexpressions of samples with their values; the most frequent ones, all variables among them.

    Parameters
    ----------
    trees : sequence of Node
    X : array, shape (rows, features)

    Attributes
    ----------
    parts : list of Node
    values, units : array, shape (parts, rows)
        Their values, finite and not constant; the same with mean 0 and norm 1.
    shared : array, shape (parts, parts)
        Correlations between the parts.
    means, norms : array, shape (parts,)
        What was taken away from and divided out of the units.
    pair_sizes, prices : array, shape (parts, parts)
        Nodes of both parts together, and by what factor of the unexplained fraction they make a pair dearer.
    """

    def __init__(self, trees: Sequence[Node], X: Array) -> None:
        columns = np.ascontiguousarray(X.T)
        counts = Counter(variable(i) for i in range(X.shape[1]))
        for tree in trees:
            counts.update(tree)
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

        parts = [node for node in counts if node.value is None and node.size <= LARGEST_PART]
        parts.sort(key=lambda node: (node.index is None, -counts[node], node.size))
        del parts[2 * LIBRARY :]
        values = np.empty((len(parts), len(X)))
        for row, node in zip(values, parts, strict=True):
            row[:] = value_of(node)
        largest = np.abs(values).max(axis=1)
        usable = (largest > 1 / HUGE) & (largest < HUGE) & (np.ptp(values, axis=1) > NEGLIGIBLE * largest)
        # Equal up to a factor: one is enough.
        alike = np.round(values / largest[:, None], 12)
        first = {alike[i].tobytes(): i for i in reversed(np.flatnonzero(usable).tolist())}
        chosen = sorted(first.values())[:LIBRARY]
        self.parts: list[Node] = [parts[i] for i in chosen]
        self.values: Array = values[chosen]
        self.units, self.means, self.norms = _centred(self.values)
        self.shared: Array = self.units @ self.units.T
        sizes = np.array([node.size for node in self.parts])
        self.pair_sizes: Array = sizes[:, None] + sizes
        self.prices: Array = np.exp(SIZE_PRICE * self.pair_sizes)

    def best(self, unexplained: Array, max_size: int) -> list[tuple[int, int]]:
        """Choose pairs that leave little unexplained for their size: parts in that order, each with its best partner.

        Parameters
        ----------
        unexplained : array, shape (parts, parts)
        max_size : int
            Of the two together with an operator.
        """
        price = np.maximum(unexplained, RESOLUTION) * self.prices
        price[self.pair_sizes >= max_size] = np.inf
        partners = np.argmin(price, axis=1)
        prices = price[np.arange(len(price)), partners]
        order = np.argsort(prices, kind="stable")[:PER_FORM]
        return [(int(i), int(partners[i])) for i in order if np.isfinite(prices[i])]


def combinations(trees: Sequence[Node], X: Array, y: Array, operators: OperatorSet, max_size: int) -> list[Node]:
    """Combine subexpressions of samples to expressions that explain y.

    Parameters
    ----------
    trees : sequence of Node
        Samples; their operators must be evaluable.
    X : array, shape (rows, features)
    y : array, shape (rows,)
    operators : OperatorSet
        Only these are used.
    max_size : int

    Returns
    -------
    list of Node
        The best pairs of each form, constants fitted by linear least squares; none with fewer than `FEWEST_ROWS` rows.
    """
    if len(y) < FEWEST_ROWS:
        return []
    found: list[Node] = []
    with np.errstate(all="ignore"):
        library = Library(trees, X)
        if not library.parts:
            return []
        if _varies(y):
            found += _explained(library, y, operators, max_size)
        for name, undo in INVERSES.items():
            if (name, 1) not in operators.index:
                continue
            inner = undo(y)
            if _varies(inner):
                found += [apply(name, tree) for tree in _explained(library, inner, operators, max_size - 1)]
    return list(dict.fromkeys(found))


def _explained(library: Library, y: Array, operators: OperatorSet, max_size: int) -> list[Node]:
    """Return the best pairs of each form."""
    if not {("+", 2), ("*", 2)} <= set(operators.index):
        return []
    minus = ("-", 2) in operators.index
    found = _sums(library, y, minus, max_size)
    found += _ratios(library, y / library.values, lambda part, line: apply("*", part, line), minus, max_size)
    if ("/", 2) in operators.index:
        found += _ratios(library, library.values / y, lambda part, line: apply("/", part, line), minus, max_size)
        found += _ratios(library, y * library.values, lambda part, line: apply("/", line, part), minus, max_size)
    return [tree for tree in found if tree.size <= max_size]


def _sums(library: Library, y: Array, minus: bool, max_size: int) -> list[Node]:
    """Return the best ``a f + b g + c``."""
    target = y - y.mean()
    norm = float(np.sqrt(target @ target))
    alone = library.units @ (target / norm)
    shared = library.shared
    free = 1 - np.square(shared)
    explained = (alone[:, None] ** 2 + alone**2 - 2 * alone[:, None] * alone * shared) / free
    explained[free < INDEPENDENT] = 0.0
    found = []
    for i, j in library.best(1 - np.minimum(np.triu(explained, 1), 1.0), max_size):
        shares = {
            i: (alone[i] - shared[i, j] * alone[j]) / free[i, j],
            j: (alone[j] - shared[i, j] * alone[i]) / free[i, j],
        }
        factors = {n: float(norm * share / library.norms[n]) for n, share in shares.items() if abs(share) > NEGLIGIBLE}
        shift = float(y.mean() - sum(factor * library.means[n] for n, factor in factors.items()))
        if np.isfinite([shift, *factors.values()]).all():
            found.append(_sum([(factor, library.parts[n]) for n, factor in factors.items()], shift, y, minus))
    return found


def _ratios(
    library: Library, targets: Array, build: Callable[[Node, Node], Node], minus: bool, max_size: int
) -> list[Node]:
    """Return the best pairs (f, g) where ``a g + c`` explains a target of each f, shape (parts, rows)."""
    usable: Any = np.all(np.abs(targets) < HUGE, axis=1)
    targets = np.where(usable[:, None], targets, 0.0)
    directions, _, lengths = _centred(targets)
    unexplained = 1 - np.minimum(np.square(directions @ library.units.T), 1.0)
    unexplained[~usable | (lengths == 0)] = np.inf
    found = []
    for i, j in library.best(unexplained, max_size):
        factor = float(library.units[j] @ targets[i] / library.norms[j])
        shift = float(targets[i].mean() - factor * library.means[j])
        if np.isfinite([factor, shift]).all():
            found.append(build(library.parts[i], _sum([(factor, library.parts[j])], shift, targets[i], minus)))
    return found


def _centred(values: Array) -> tuple[Array, Array, Array]:
    """Return rows with mean 0 and norm 1, and the means and norms before."""
    means = values.mean(axis=1)
    centred = values - means[:, None]
    norms = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    return centred / np.maximum(norms, 1 / HUGE)[:, None], means, norms


def _varies(values: Array) -> bool:
    """Tell whether values are finite, not too large, and not all the same."""
    largest = float(np.abs(values).max())
    return 1 / HUGE < largest < HUGE and float(np.ptp(values)) > NEGLIGIBLE * largest


def _sum(terms: list[tuple[float, Node]], shift: float, y: Array, minus: bool) -> Node:
    """Write ``a f + b g + c`` down, leaving out factors of one and a shift that makes no difference."""
    tree: Node | None = None
    for factor, part in sorted(terms, key=lambda term: -term[0]):
        if tree is None:
            tree = _scaled(factor, part)
        elif factor < 0 and minus:
            tree = apply("-", tree, _scaled(-factor, part))
        else:
            tree = apply("+", tree, _scaled(factor, part))
    shift = _rounded(shift)
    if tree is None:
        return constant(shift)
    return tree if abs(shift) <= NEGLIGIBLE * float(np.abs(y).max()) else apply("+", tree, constant(shift))


def _scaled(factor: float, part: Node) -> Node:
    factor = _rounded(factor)
    return part if factor == 1 else apply("*", constant(factor), part)


def _rounded(value: float) -> float:
    """Take a small integer for what differs from it by rounding only."""
    nearest = round(value)
    return float(nearest) if nearest and abs(value - nearest) <= 1e-7 * abs(value) else value

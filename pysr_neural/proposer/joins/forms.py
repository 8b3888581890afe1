"""Whole answers out of parts: sums, products, quotients and powers of sampled subexpressions, found by regression.

Owns: which joins of parts, scaled and shifted, explain the data.  Does not own: the parts (`library`), sampling
(`neural.transformer`), the fit of all constants (`expression.fit`).

A small model seldom writes a long answer down whole, but often writes down its parts, each in another sample.  All
subexpressions of all samples form a library; for each pair (f, g) of it the least-squares fit of some forms is scored,
all pairs by one matrix product: ``a f + b g + c``, with more terms where that leaves something, and its reciprocal;
``a f g + c``, ``a f / g + c``, ``f (a g + c)``, ``f / (a g + c)`` and ``(a g + c) / f``; and for each f, in logarithms,
``a f`` times powers of the variables.  The same forms are tried below those unary operators of the search that can be
inverted: ``h(…)`` explains y where ``…`` explains ``h⁻¹(y)``.  What comes out joins the library for a second round.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.library import (
    HUGE,
    NEGLIGIBLE,
    PER_FORM,
    RESOLUTION,
    SIZE_PRICE,
    Factors,
    Library,
    Slopes,
    building_blocks,
    most_frequent,
)

ROUNDS = 2
KEPT = 40
"""Most expressions returned."""
AGAIN = 20
"""Expressions that join the library of the next round."""
MOST_TERMS = 4
"""Of a sum."""
FEWEST_ROWS = 6
INDEPENDENT = 1e-7
"""Least share of a part's variance that the others must leave unexplained, and of a product's square its variance."""
LARGEST_INTEGER = 1000
"""Fitted constants that differ from an integer by rounding only are taken for it up to here."""
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
        "asin": lambda y: np.where(np.abs(y) <= np.pi / 2, np.sin(y), np.nan),
        "acos": lambda y: np.where((y >= 0) & (y <= np.pi), np.cos(y), np.nan),
        "atan": lambda y: np.where(np.abs(y) < np.pi / 2, np.tan(y), np.nan),
        "cosh": np.arccosh,
    }
)
"""Operator → a function that undoes it on one branch, NaN where there is nothing to undo."""


def combinations(
    trees: Sequence[Node],
    X: Array,
    y: Array,
    operators: OperatorSet,
    max_size: int,
    allowed: Callable[[Node], bool] = lambda tree: True,
) -> list[Node]:
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
    allowed : callable of a Node, optional
        Further limits.

    Returns
    -------
    list of Node
        At most `KEPT`, the best for their size first, no two of the same values, constants of the joins fitted by
        linear least squares; none with fewer than `FEWEST_ROWS` rows, or without addition and multiplication.
    """
    if len(y) < FEWEST_ROWS or not {("+", 2), ("*", 2)} <= set(operators.index) or not _varies(y):
        return []
    frequent = most_frequent(trees)
    given = [variable(i) for i in range(X.shape[1])]
    variables = list(dict.fromkeys([*(node for node in frequent if node.index is not None), *given]))
    rest = [*building_blocks(variables, operators), *frequent]
    rated: dict[Node, Rated] = {}
    best: list[Node] = []
    with np.errstate(all="ignore"):
        for _ in range(ROUNDS):
            again = [node for tree in best[:AGAIN] for node in tree]
            library = Library([*variables, *again, *rest], X)
            for tree in _joins(library, X, y, operators, max_size):
                if tree not in rated and allowed(tree):
                    rated[tree] = _rate(tree, X, y)
            best = _ranked(rated)
            if not best or rated[best[0]].price <= _price(RESOLUTION, best[0]):
                break
    return best[:KEPT]


class Rated(NamedTuple):
    """What an expression leaves unexplained, times what its size costs; its values, rounded."""

    price: float
    values: bytes


def _rate(tree: Node, X: Array, y: Array) -> Rated:
    values = evaluate(tree, X)
    errors, spread = values - y, y - y.mean()
    unexplained = float(errors @ errors / (spread @ spread))
    if not np.isfinite(unexplained):
        return Rated(np.inf, b"")
    return Rated(_price(unexplained, tree), (np.round(values / np.abs(y).max(), 7) + 0.0).tobytes())


def _price(unexplained: float, tree: Node) -> float:
    return float(max(unexplained, RESOLUTION) * np.exp(SIZE_PRICE * tree.size))


def _ranked(rated: Mapping[Node, Rated]) -> list[Node]:
    """Return the cheapest expression of each of the values, the best first."""
    cheapest: dict[bytes, Node] = {}
    for tree in sorted(rated, key=lambda tree: rated[tree].price):
        if rated[tree].price < np.inf:
            cheapest.setdefault(rated[tree].values, tree)
    return list(cheapest.values())


def _joins(library: Library, X: Array, y: Array, operators: OperatorSet, max_size: int) -> Iterator[Node]:
    """Yield the best joins that explain y, at the root or below an operator that can be inverted."""
    if not library.parts:
        return
    yield from _explained(library, X, y, operators, max_size)
    for name, undo in INVERSES.items():
        if (name, 1) in operators.index and _varies(inner := undo(y)):
            for tree in _explained(library, X, inner, operators, max_size - 1):
                yield apply(name, tree)


def _explained(library: Library, X: Array, y: Array, operators: OperatorSet, max_size: int) -> list[Node]:
    """Return the best joins of each form."""
    minus, over = ("-", 2) in operators.index, ("/", 2) in operators.index
    found = _sums(library, y, minus, max_size)
    found += _products(library, library.as_factors, "*", y, minus, max_size)
    found += _powers(library, X, y, operators, max_size)
    lines = (library.scaled * y) @ library.units.T
    found += _factored(library, library.slopes, "*", lines, y, minus, max_size)
    if over:
        found += _products(library, library.as_divisors, "/", y, minus, max_size)
        inverse_lines = (library.inverse * y) @ library.units.T
        found += _factored(library, library.inverse_slopes, "/", inverse_lines, y, minus, max_size)
        found += _divided(library, lines, y, minus, max_size)
        if _varies(inverse := np.reciprocal(y)):
            found += [apply("/", constant(1.0), tree) for tree in _sums(library, inverse, minus, max_size - 2)]
    return [tree for tree in found if tree.size <= max_size]


def _sums(library: Library, y: Array, minus: bool, max_size: int) -> list[Node]:
    """Return the best ``a f + c`` and ``a f + b g + c``, and what they grow to."""
    target = y - y.mean()
    alone = library.units @ (target / np.sqrt(target @ target))
    shared = library.correlations
    free = 1 - np.square(shared)
    explained = (alone[:, None] ** 2 + alone**2 - 2 * alone[:, None] * alone * shared) / free
    unexplained = np.where((free > INDEPENDENT) & ~np.tri(len(shared), dtype=bool), 1 - explained, np.inf)
    prices = np.maximum(1 - np.square(alone), RESOLUTION) * library.size_prices
    singles = [[int(i)] for i in np.argsort(prices, kind="stable")[:PER_FORM]]
    found: list[Node] = []
    for terms in [*singles, *map(list, library.best(unexplained, max_size))]:
        found += _growing_sums(library, terms, y, minus, max_size)
    return found


def _growing_sums(library: Library, terms: list[int], y: Array, minus: bool, max_size: int) -> Iterator[Node]:
    """Yield the fitted sum of some parts, and of them and ever one more that explains most of the rest."""
    target = y - y.mean()
    square = target @ target
    while len(terms) <= MOST_TERMS:
        basis, triangle = np.linalg.qr(library.units[terms].T)
        shares = np.linalg.solve(triangle, basis.T @ target)
        rest = target - basis @ (basis.T @ target)
        factors = shares / library.norms[terms]
        shift = float(y.mean() - factors @ library.means[terms])
        told = np.abs(shares) > NEGLIGIBLE * np.sqrt(square)
        if not (np.isfinite([shift, *factors]).all() and told.any()):
            return
        pairs = zip(factors[told].tolist(), np.array(terms)[told].tolist(), strict=True)
        tree = _sum([(factor, library.parts[n]) for factor, n in pairs], shift, y, minus)
        if tree.size > max_size:
            return
        yield tree
        if rest @ rest <= RESOLUTION * square:
            return
        free = 1 - np.square(library.units @ basis).sum(axis=1)
        left = np.maximum(rest @ rest - np.square(library.units @ rest) / free, RESOLUTION * square)
        prices = np.where(free > INDEPENDENT, left * library.size_prices, np.inf)
        if not np.isfinite(prices).any():
            return
        terms = [*terms, int(np.argmin(prices))]


def _products(library: Library, factors: Factors, name: str, y: Array, minus: bool, max_size: int) -> list[Node]:
    """Return the best ``a f g + c``, or ``a f / g + c``."""
    target = y - y.mean()
    covariances = (library.scaled * target) @ factors.values.T / len(y)
    unexplained = 1 - np.square(covariances) / (factors.variances * (target @ target / len(y)))
    usable = factors.variances > INDEPENDENT * np.square(factors.means)
    if name == "*":
        usable &= ~np.tri(len(usable), k=-1, dtype=bool)  # f g is g f.
    found = []
    for i, j in library.best(np.where(usable, unexplained, np.inf), max_size):
        f, g = library.values[i], library.values[j]
        product = f * g if name == "*" else f / g
        spread = product - product.mean()
        factor = float(spread @ target / (spread @ spread))
        shift = float(y.mean() - factor * product.mean())
        if np.isfinite([factor, shift]).all():
            found.append(_sum([(factor, apply(name, library.parts[i], library.parts[j]))], shift, y, minus))
    return found


def _factored(
    library: Library, slopes: Slopes, name: str, lines: Array, y: Array, minus: bool, max_size: int
) -> list[Node]:
    """Return the best ``f (a g + c)``, or ``(a g + c) / f``; the lines are scalar products of y with each f g."""
    heights = slopes.values @ y
    steep = lines - (heights / slopes.squares)[:, None] * slopes.shared
    explained = np.square(heights)[:, None] / slopes.squares[:, None] + np.square(steep) / slopes.free
    spread = y - y.mean()
    unexplained = np.where(slopes.free > 0, (y @ y - explained) / (spread @ spread), np.inf)
    found = []
    for i, j in library.best(unexplained, max_size):
        f = library.values[i] if name == "*" else 1 / library.values[i]
        line = _line(library, j, f, y, minus)
        if line is not None:
            part = library.parts[i]
            found.append(apply("*", part, line) if name == "*" else apply("/", line, part))
    return found


def _divided(library: Library, lines: Array, y: Array, minus: bool, max_size: int) -> list[Node]:
    """Return the best ``f / (a g + c)``: f is fitted by ``y (a g + c)``."""
    squared = np.square(y)
    square, shared = squared.sum(), library.units @ squared
    free = np.square(library.units) @ squared - np.square(shared) / square
    heights = library.scaled @ y
    steep = lines - np.outer(heights / square, shared)
    explained = (np.square(heights) / square)[:, None] + np.square(steep) / free
    spreads = np.square(library.norms / np.abs(library.values).max(axis=1))
    unexplained = (library.slopes.squares[:, None] - explained) / spreads[:, None]
    unexplained[:, ~(free > INDEPENDENT * np.square(shared) / square)] = np.inf
    found = []
    for i, j in library.best(unexplained, max_size):
        line = _line(library, j, y, library.values[i], minus)
        if line is not None:
            found.append(apply("/", library.parts[i], line))
    return found


def _line(library: Library, j: int, factor: Array, y: Array, minus: bool) -> Node | None:
    """Fit y by ``factor (a g + c)``; returns the line in g."""
    scale = float(np.abs(factor).max())
    design = np.column_stack([factor * library.units[j], factor]) / scale
    (slope, height), *_ = np.linalg.lstsq(design, y, rcond=None)
    a = slope / scale / library.norms[j]
    c = height / scale - a * library.means[j]
    if not np.isfinite([a, c]).all():
        return None
    return _sum([(float(a), library.parts[j])], float(c), a * library.values[j] + c, minus)


def _powers(library: Library, X: Array, y: Array, operators: OperatorSet, max_size: int) -> list[Node]:
    """Return the best ``a f`` times whole and half powers of the variables, and the best such power law alone."""
    logs = np.log(np.abs(X.T))
    columns = np.flatnonzero(np.isfinite(logs).all(axis=1))
    target = np.log(np.abs(y))
    if not (len(columns) and np.isfinite(target).all()):
        return []
    logs = logs[columns] - logs[columns].mean(axis=1)[:, None]
    rests = target - np.vstack([np.zeros(len(y)), library.logs])
    usable = np.isfinite(rests).all(axis=1)
    rests = np.where(usable[:, None], rests - rests.mean(axis=1)[:, None], 0.0)
    exponents, *_ = np.linalg.lstsq(logs.T, rests.T, rcond=None)
    halves = np.rint(2 * exponents)
    errors = np.square(rests - (halves / 2).T @ logs).mean(axis=1)
    sizes = np.array([0, *[part.size for part in library.parts]]) + np.abs(halves).sum(axis=0)
    usable &= (sizes < max_size) & halves.any(axis=0)
    prices = np.where(usable, np.maximum(errors, RESOLUTION) * np.exp(SIZE_PRICE * sizes), np.inf)
    found = []
    for i in np.argsort(prices, kind="stable")[:PER_FORM].tolist():
        if not np.isfinite(prices[i]):
            break
        powers = zip(columns.tolist(), halves[:, i].astype(int).tolist(), strict=True)
        factors = [(variable(n), power) for n, power in powers if power]
        tree = _power_law([*factors, *([(library.parts[i - 1], 2)] if i else [])], operators)
        if tree is not None:
            values = evaluate(tree, X)
            scale = float(values @ y / (values @ values))
            if np.isfinite(scale) and scale:
                found.append(_scaled(scale, tree))
    return found


def _power_law(factors: Sequence[tuple[Node, int]], operators: OperatorSet) -> Node | None:
    """Write a product of half powers down; None if there are none, or the operators cannot."""
    sides: list[Node | None] = []
    for sign in (1, -1):
        trees = [tree for tree, power in factors for _ in range(max(sign * power, 0) // 2)]
        roots = [tree for tree, power in factors if sign * power > 0 and power % 2]
        if roots and ("sqrt", 1) not in operators.index:
            return None
        trees += [apply("sqrt", _product(roots))] if roots else []
        sides.append(_product(trees) if trees else None)
    over, under = sides
    if under is None:
        return over
    return apply("/", over or constant(1.0), under) if ("/", 2) in operators.index else None


def _product(trees: Sequence[Node]) -> Node:
    return reduce(lambda left, right: apply("*", left, right), trees)


def _varies(values: Array) -> bool:
    """Tell whether values are finite, not too large, and not all the same."""
    largest = float(np.abs(values).max())
    return 1 / HUGE < largest < HUGE and float(np.ptp(values)) > NEGLIGIBLE * largest


def _sum(terms: list[tuple[float, Node]], shift: float, y: Array, minus: bool) -> Node:
    """Write ``a f + b g + c`` down, leaving out factors of one and a shift that makes no difference."""
    largest, *others = sorted(terms, key=lambda term: -term[0])
    tree = _scaled(*largest)
    for factor, part in others:
        if factor < 0 and minus:
            tree = apply("-", tree, _scaled(-factor, part))
        else:
            tree = apply("+", tree, _scaled(factor, part))
    return tree if abs(shift) <= NEGLIGIBLE * float(np.ptp(y)) else apply("+", tree, constant(_rounded(shift)))


def _scaled(factor: float, part: Node) -> Node:
    factor = _rounded(factor)
    return part if factor == 1 else apply("*", constant(factor), part)


def _rounded(value: float) -> float:
    """Take a small integer for what differs from it by rounding only."""
    nearest = round(value)
    close = abs(value - nearest) <= NEGLIGIBLE * abs(value)
    return float(nearest) if close and 0 < abs(nearest) <= LARGEST_INTEGER else value

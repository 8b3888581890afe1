"""Whole answers out of parts: sums, products, quotients and powers of sampled subexpressions, found by regression.

Owns: which joins of parts, scaled and shifted, explain the data.  Does not own: the parts (`library`), sampling
(`transformer`), the fit of all constants (`expression.fit`).

A small model seldom writes a long answer down whole, but often writes down its parts, each in another sample.  All
subexpressions of all samples form a library; for each pair (f, g) of it the least-squares fit of some forms is scored,
all pairs by one matrix product: ``a f + b g + c``, with more terms where that leaves something, and its reciprocal;
``a f g + c``, ``a f / g + c``, ``f (a g + c)``, ``f / (a g + c)`` and ``(a g + c) / f``; and for each f, in logarithms,
``a f`` times powers of the variables.  The same forms are tried below those unary operators of the search that can be
inverted: ``h(…)`` explains y where ``…`` explains ``h⁻¹(y)``.  What comes out joins the library for a second round.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from types import MappingProxyType

import numpy as np

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.library import (
    HUGE,
    NEGLIGIBLE,
    PER_FORM,
    RESOLUTION,
    SIZE_PRICE,
    Factors,
    Library,
    building_blocks,
    centred,
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
"""Least share of a part's variance that the other part must not explain, and of a product's square its variance."""
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
        At most `KEPT`, the best for their size first, constants of the joins fitted by linear least squares; none with
        fewer than `FEWEST_ROWS` rows, or without addition and multiplication.
    """
    if len(y) < FEWEST_ROWS or not {("+", 2), ("*", 2)} <= set(operators.index):
        return []
    used = Counter(node for tree in trees for node in tree if node.index is not None)
    first = building_blocks([node for node, _ in used.most_common()], operators)
    prices: dict[Node, float] = {}
    best: list[Node] = []
    with np.errstate(all="ignore"):
        for _ in range(ROUNDS):
            library = Library(trees, [*best[:AGAIN], *first], X)
            for tree in _joins(library, X, y, operators, max_size):
                if tree not in prices:
                    prices[tree] = _price(tree, X, y)
            best = [tree for tree in sorted(prices, key=prices.__getitem__) if prices[tree] < np.inf]
            if not best or prices[best[0]] <= _price_of(RESOLUTION, best[0]):
                break
    return best[:KEPT]


def _price(tree: Node, X: Array, y: Array) -> float:
    """Rate an expression: what it leaves unexplained, times what its size costs."""
    unexplained = fraction_unexplained(evaluate(tree, X), y)
    return _price_of(unexplained, tree) if np.isfinite(unexplained) else np.inf


def _price_of(unexplained: float, tree: Node) -> float:
    return float(max(unexplained, RESOLUTION) * np.exp(SIZE_PRICE * tree.size))


def _joins(library: Library, X: Array, y: Array, operators: OperatorSet, max_size: int) -> Iterator[Node]:
    """Yield the best joins that explain y, at the root or below an operator that can be inverted."""
    if not library.parts:
        return
    if _varies(y):
        yield from _explained(library, X, y, operators, max_size)
    for name, undo in INVERSES.items():
        if (name, 1) in operators.index and _varies(inner := undo(y)):
            for tree in _explained(library, X, inner, operators, max_size - 1):
                yield apply(name, tree)


def _explained(library: Library, X: Array, y: Array, operators: OperatorSet, max_size: int) -> list[Node]:
    """Return the best joins of each form."""
    minus = ("-", 2) in operators.index
    found = _sums(library, y, minus, max_size)
    found += _products(library, library.as_factors, "*", y, minus, max_size)
    found += _ratios(library, y / library.values, lambda part, line: apply("*", part, line), minus, max_size)
    found += _powers(library, X, y, operators, max_size)
    if ("/", 2) in operators.index:
        found += _products(library, library.as_divisors, "/", y, minus, max_size)
        found += _ratios(library, library.values / y, lambda part, line: apply("/", part, line), minus, max_size)
        found += _ratios(library, y * library.values, lambda part, line: apply("/", line, part), minus, max_size)
        if _varies(np.reciprocal(y)):
            found += [apply("/", constant(1.0), tree) for tree in _sums(library, np.reciprocal(y), minus, max_size - 2)]
    return [tree for tree in found if tree.size <= max_size]


def _sums(library: Library, y: Array, minus: bool, max_size: int) -> list[Node]:
    """Return the best ``a f + b g + c``."""
    target = y - y.mean()
    norm = float(np.sqrt(target @ target))
    alone = library.units @ (target / norm)
    shared = library.correlations
    free = 1 - np.square(shared)
    explained = (alone[:, None] ** 2 + alone**2 - 2 * alone[:, None] * alone * shared) / free
    explained[free < INDEPENDENT] = 0.0
    found: list[Node] = []
    for pair in library.best(1 - np.minimum(np.triu(explained, 1), 1.0), max_size):
        found += _growing_sums(library, list(pair), y, minus, max_size)
    return found


def _growing_sums(library: Library, terms: list[int], y: Array, minus: bool, max_size: int) -> Iterator[Node]:
    """Yield the fitted sum of some parts, and of them and ever one more that explains most of the rest."""
    target = y - y.mean()
    while len(terms) <= MOST_TERMS:
        units = library.units[terms].T
        shares, *_ = np.linalg.lstsq(units, target, rcond=None)
        rest = target - units @ shares
        factors = shares / library.norms[terms]
        shift = float(y.mean() - factors @ library.means[terms])
        told = np.abs(shares) > NEGLIGIBLE * np.sqrt(target @ target)
        if not (np.isfinite([shift, *factors]).all() and told.any()):
            return
        pairs = zip(factors[told].tolist(), np.array(terms)[told].tolist(), strict=True)
        yield _sum([(factor, library.parts[n]) for factor, n in pairs], shift, y, minus)
        if rest @ rest <= RESOLUTION * (target @ target):
            return
        basis, _ = np.linalg.qr(units)
        free = 1 - np.square(library.units @ basis).sum(axis=1)
        gains = np.where(free > INDEPENDENT, np.square(library.units @ rest) / free, 0.0)
        terms = [*terms, int(np.argmin((rest @ rest - gains) * library.size_prices))]


def _products(library: Library, factors: Factors, name: str, y: Array, minus: bool, max_size: int) -> list[Node]:
    """Return the best ``a f g + c``, or ``a f / g + c``."""
    target = y - y.mean()
    covariances = (library.scaled * target) @ factors.values.T / len(y)
    unexplained = 1 - np.minimum(np.square(covariances) / (factors.variances * (target @ target / len(y))), 1.0)
    unexplained[~(factors.variances > INDEPENDENT * np.square(factors.means))] = np.inf
    found = []
    for i, j in library.best(unexplained, max_size):
        f, g = library.values[i], library.values[j]
        product = f * g if name == "*" else f / g
        spread = product - product.mean()
        factor = float(spread @ target / (spread @ spread))
        shift = float(y.mean() - factor * product.mean())
        if np.isfinite([factor, shift]).all():
            found.append(_sum([(factor, apply(name, library.parts[i], library.parts[j]))], shift, y, minus))
    return found


def _ratios(
    library: Library, targets: Array, build: Callable[[Node, Node], Node], minus: bool, max_size: int
) -> list[Node]:
    """Return the best pairs (f, g) where ``a g + c`` explains a target of each f, shape (parts, rows)."""
    usable = np.all(np.abs(targets) < HUGE, axis=1)
    targets = np.where(usable[:, None], targets, 0.0)
    directions, _, lengths = centred(targets)
    unexplained = 1 - np.minimum(np.square(directions @ library.units.T), 1.0)
    unexplained[~usable | (lengths == 0)] = np.inf
    found = []
    for i, j in library.best(unexplained, max_size):
        factor = float(library.units[j] @ targets[i] / library.norms[j])
        shift = float(targets[i].mean() - factor * library.means[j])
        if np.isfinite([factor, shift]).all():
            found.append(build(library.parts[i], _sum([(factor, library.parts[j])], shift, targets[i], minus)))
    return found


def _powers(library: Library, X: Array, y: Array, operators: OperatorSet, max_size: int) -> list[Node]:
    """Return the best ``a f`` times whole and half powers of the variables, and the best such power law alone."""
    logs = np.log(np.abs(np.vstack([X.T, y])))
    if not np.isfinite(logs).all():
        return []
    rests = logs[-1] - np.vstack([np.zeros(len(y)), np.log(np.abs(library.values))])
    usable = np.isfinite(rests).all(axis=1)
    design = np.column_stack([np.ones(len(y)), logs[:-1].T])
    exponents, *_ = np.linalg.lstsq(design, np.where(usable[:, None], rests, 0.0).T, rcond=None)
    errors = np.square(rests - (design @ exponents).T).mean(axis=1)
    halves = np.rint(2 * exponents[1:]).astype(int)
    sizes = np.array([0, *[part.size for part in library.parts]]) + np.abs(halves).sum(axis=0)
    prices = np.where(usable & (sizes < max_size), np.maximum(errors, RESOLUTION) * np.exp(SIZE_PRICE * sizes), np.inf)
    found = []
    for i in np.argsort(prices, kind="stable")[:PER_FORM].tolist():
        factors = [(variable(n), int(power)) for n, power in enumerate(halves[:, i]) if power]
        tree = _power_law([*factors, *([(library.parts[i - 1], 2)] if i else [])], operators)
        if tree is not None and np.isfinite(prices[i]):
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

"""Products and sums of two curves, each with a free constant inside: damped waves, beats, laws of radiation.

Owns: `CurvePairs`: which inner parts and factors there are, the order of screening and fits, how answers are written.
Does not own: the grid (`pair_grid`), fits (`pair_fits`), one curve beside parts (`curve_search`).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.curves import EXPONENTIAL, Written
from pysr_neural.proposer.joins.pair_fits import PairFits
from pysr_neural.proposer.joins.pair_grid import FAMILIES, Curve, PairGrid, Places
from pysr_neural.proposer.joins.parts import values_of
from pysr_neural.proposer.joins.splits import Target
from pysr_neural.proposer.joins.sums import EXACT, smallest
from pysr_neural.proposer.joins.writing import NEGLIGIBLE, power_law, sum_of

MOST_VARIABLES = 3
"""Laws of more are made smaller first (`reductions`)."""
MOST_INNER, MOST_FACTORS = 20, 32
LARGEST_POWERS = (5, 3, 1)
"""Of variables in factors, of one variable, of two, and of three."""
PRODUCTS, SUMS = (12, 16, 8, 8), 24
"""Points of the grid whose constants are fitted: products by the family of the second curve, and sums."""
STAGES = ((2, 4, 20), (1, 5, 8), (1, 6, 5))
"""Every so manieth of the rows for screening, iterations on them, and fits that are followed then."""
LAST_ITERATIONS = 10
"""On all rows."""
MOST_WRITTEN = 6
MOST_HALVES, WHOLE = 6, 1e-6
"""Twice the largest power that is written as one, and how far twice a fitted one may be from a whole number."""


class CurvePairs:
    """Products and sums of two curves of one search's variables.

    Parameters
    ----------
    X : array, shape (rows, features)
    operators : OperatorSet
    order : sequence of int
        The variables, the most important first.
    rows : slice
        For screening.
    size_price : float
        See `sums.SIZE_PRICE`.
    """

    def __init__(self, X: Array, operators: OperatorSet, order: Sequence[int], rows: slice, size_price: float) -> None:
        self._operators, self._rows, self._size_price = operators, rows, size_price
        self._inner = _placed(_inner_parts(order, operators), X)
        factors = _factors(order, operators)
        values = np.vstack([np.ones(len(X)), values_of(factors, X.T)])
        scale = np.abs(values).max(axis=1)
        told = np.flatnonzero(np.isfinite(scale) & (scale > 0))
        self._factors = [factors[k - 1] if k else None for k in told.tolist()]
        self._scale, self._values = scale[told], values[told] / scale[told, None]
        self._sizes = np.array([0 if each is None else each.size + 1 for each in self._factors], dtype=np.int64)
        inner, single = self._inner.on(rows), X.shape[1] == 1
        some = bool(self._inner.trees)  # Not where all that could stand inside is constant up to rounding.
        self._grid = (
            PairGrid(inner, self._values[:, rows], self._sizes, operators, size_price, single) if some else None
        )

    def found(self, target: Target, minus: bool, promises: Callable[[float, int], bool]) -> Iterator[Node]:
        """Yield the best pairs for a target without weights, as whole answers.

        Parameters
        ----------
        target : Target
        minus : bool
            Whether the search has subtraction.
        promises : callable
            Of what a fit leaves and its number of nodes: whether it is worth being fitted on all rows.
        """
        whole, v = _unit(target.values), _unit(target.values[self._rows])
        fits = None if whole is None or v is None else self._starts(v)
        if fits is None or whole is None:
            return
        for step, iterations, kept in STAGES:
            rows = slice(self._rows.start, self._rows.stop, step)
            unit = _unit(target.values[rows])
            if unit is None:
                return
            level = np.ones(len(fits), dtype=bool)
            fits = fits.on(self._inner.on(rows), self._values[:, rows], unit, np.arange(len(fits)), level)
            fits.descend(iterations)
            fits = fits.some(smallest(fits.now.left * np.exp(self._size_price * fits.sizes(self._sizes)), kept))
        sizes = fits.sizes(self._sizes) + target.size
        chosen = [k for k, left in enumerate(fits.now.left.tolist()) if promises(left, int(sizes[k]))]
        # A product is fitted with a constant beside its second curve, and without.
        twice = np.array(chosen + [k for k in chosen if fits.product[k]], dtype=np.int64)
        if not len(twice):
            return
        level = np.arange(len(twice)) < len(chosen)
        fits = fits.on(self._inner, self._values, whole, twice, level)
        fits.descend(LAST_ITERATIONS)
        sizes = fits.sizes(self._sizes) + 2 * (fits.product & fits.level)
        for k in smallest(np.maximum(fits.now.left, EXACT) * np.exp(self._size_price * sizes), MOST_WRITTEN).tolist():
            tree = self._written(fits, k, target, minus)
            if tree is not None:
                yield tree

    def _starts(self, v: Array) -> PairFits | None:
        """Choose points of the grid."""
        grid = self._grid
        if grid is None or not len(grid.second.theta):
            return None
        products, sums = grid.products(v, PRODUCTS), grid.sums(v, SUMS)
        if not products and not sums:
            return None
        first, second = np.array(products, dtype=np.int64).reshape(-1, 2).T
        left, right = np.array(sums, dtype=np.int64).reshape(-1, 2).T
        one = grid.first.some(first).and_then(grid.second.some(left))
        two = grid.second.some(np.concatenate([second, right]))
        product = np.arange(len(two.theta)) < len(products)
        inner, factors = self._inner.on(self._rows), self._values[:, self._rows]
        return PairFits(inner, factors, v, one, two, product, np.ones(len(product), dtype=bool))

    def _written(self, fits: PairFits, k: int, target: Target, minus: bool) -> Node | None:
        """Fit the coefficients once more, and write the whole answer down."""
        columns = fits.columns()[k]
        used = np.flatnonzero(np.ptp(columns, axis=1) > 0)
        design = np.vstack([columns[used], np.ones(columns.shape[1])])
        scale = np.abs(design).max(axis=1)
        if not np.isfinite(scale).all():
            return None
        shares, *_ = np.linalg.lstsq((design / scale[:, None]).T, target.values, rcond=1e-15)
        factors = np.zeros(5)
        factors[[*used, 4]] = shares / scale
        if ((factors[used] == 0) & (shares[:-1] != 0)).any():  # Too small to be written.
            return None
        c, spread = factors.tolist(), float(np.ptp(target.values))
        two, two_tree, two_shift = self._curve(fits.two, k, c[2:4])
        if not fits.product[k]:
            one, one_tree, one_shift = self._curve(fits.one, k, c[:2])
            pairs = [(one, one_tree), (two, two_tree)]
            return self._whole(target, pairs, c[4] + one_shift + two_shift, spread, minus)
        level = c[0] + two_shift
        factor, envelope = self._envelope(fits.one, k)
        if not envelope:
            return self._whole(target, [(two, two_tree)], c[4] + level, spread, minus)
        if abs(level) * float(np.ptp(fits.now.first[k, 0])) > NEGLIGIBLE * spread:
            two_tree = sum_of([(two, two_tree)], level, 0.0, minus)
        else:
            factor *= two
        if not factor:
            return None
        for each in envelope:
            two_tree = _times(each, two_tree)
        return self._whole(target, [(factor, two_tree)], c[4], spread, minus)

    def _envelope(self, one: Curve, k: int) -> tuple[float, list[Node]]:
        """Return the coefficient and the factors of a product's first curve."""
        factor, trees = 1 / float(self._scale[one.factor[k]]), []
        node = self._factors[one.factor[k]]
        if node is not None:
            trees.append(node)
        if one.place[k] >= 0:
            own, tree, _ = self._curve(one, k, [1.0])
            factor *= own
            trees.append(tree)
        return factor, trees

    def _curve(self, curve: Curve, k: int, factors: list[float]) -> Written:
        place, a, family = int(curve.place[k]), float(curve.theta[k]), FAMILIES[curve.family[k]]
        inner = self._inner.trees[place]
        middle, reach = float(self._inner.middle[place]), float(self._inner.reach[place])
        halves = 2 * a / reach
        with np.errstate(all="ignore"):
            if family is EXPONENTIAL and inner.operator == "log" and _is_power(halves):
                tree = power_law([(inner.children[0], round(halves))], self._operators)
                if tree is not None and tree.size <= family.size + inner.size:
                    return float(factors[0] * np.exp(-a * middle / reach - 0.5 * abs(a))), tree, 0.0
            return family.write(self._operators, inner, (middle, reach), a, factors)

    @staticmethod
    def _whole(
        target: Target, pairs: Sequence[tuple[float, Node]], shift: float, spread: float, minus: bool
    ) -> Node | None:
        constants = [value for _, tree in pairs for value in tree.constants()]
        if not np.isfinite([shift, *(factor for factor, _ in pairs), *constants]).all():
            return None
        return target.wrap(sum_of([pair for pair in pairs if pair[0]], shift, spread, minus))


def _is_power(halves: float) -> bool:
    """Tell whether an exponent, counted in halves, is a short power's."""
    return 0.5 < abs(halves) < MOST_HALVES + 0.5 and abs(halves - round(halves)) < WHOLE


def _times(left: Node, right: Node) -> Node:
    """Write a product down: of two exponentials as one, and of a reciprocal as a quotient."""
    if left.operator == right.operator == "exp":
        return apply("exp", apply("+", left.children[0], right.children[0]))
    if right.operator == "/" and right.children[0].value == 1.0:
        return apply("/", left, right.children[1])
    return apply("*", left, right)


def _unit(values: Array) -> Array | None:
    v = values - values.mean()
    norm = float(np.sqrt(v @ v))
    return v / norm if np.isfinite(norm) and norm > 0 else None


def _placed(trees: Sequence[Node], X: Array) -> Places:
    """Place those inner parts that vary moderately."""
    values = values_of(trees, X.T)
    ranges = np.ptp(values, axis=1)
    told = np.isfinite(values).all(axis=1) & (ranges > NEGLIGIBLE * np.abs(values).max(axis=1))
    chosen = np.flatnonzero(told)[:MOST_INNER]
    return Places.of([trees[k] for k in chosen.tolist()], values[chosen])


def _inner_parts(order: Sequence[int], operators: OperatorSet) -> list[Node]:
    """Return variables, their logarithms, reciprocals and squares, and products and quotients of two and three."""
    x = [variable(i) for i in order]
    logs = [apply("log", each) for each in x] if ("log", 1) in operators.index else []
    inverse = [apply("/", constant(1.0), each) for each in x] if ("/", 2) in operators.index else []
    alone = [*inverse, *(apply("*", each, each) for each in x)]
    joined: list[Node] = []
    for count in (2, 3):
        for some in sorted(itertools.combinations(range(len(x)), count), key=max):
            for signs in itertools.product((2, -2), repeat=count):
                # Of three only those with one below: others are reciprocals or seldom.
                if max(signs) > 0 and (count == 2 or sum(signs) == 2):
                    tree = power_law([(x[k], sign) for k, sign in zip(some, signs, strict=True)], operators)
                    joined += [] if tree is None else [tree]
    return [*x, *logs, *alone, *joined] if len(x) < 3 else [*x, *logs, *joined, *alone]


def _factors(order: Sequence[int], operators: OperatorSet) -> list[Node]:
    """Return products of powers of variables, from low degree to high."""
    x = [variable(i) for i in order]
    largest = LARGEST_POWERS[len(x) - 1] if len(x) <= len(LARGEST_POWERS) else 0
    exponents = itertools.product(range(-largest, largest + 1), repeat=len(x))
    found = []
    for powers in sorted(exponents, key=lambda powers: (sum(map(abs, powers)), -sum(powers))):
        tree = power_law([(each, 2 * int(power)) for each, power in zip(x, powers, strict=True)], operators)
        found += [] if tree is None else [tree]
    return found[:MOST_FACTORS]

"""Quotients of two sums of products: ``y Q = P`` is linear in the coefficients of both, and shows in one factorization.

Owns: the terms, the relation between them, which of them it needs.  Does not own: Horner's form (`polynomials`).

Variables, their reciprocals, functions of one variable, and products of up to three of these are terms.  They, and the
shorter ones times y, are columns, the short ones first.  The first column that those before it span but for rounding
tells the simplest relation, whatever the number of its terms; sums are quotients with Q = 1.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.parts import values_of
from pysr_neural.proposer.joins.polynomials import Monomial, horner
from pysr_neural.proposer.joins.polynomials import values_of as values_of_monomials
from pysr_neural.proposer.joins.splits import HUGE, Target, replaced

SHARES = 0.5, 0.3
"""Most columns without y, and with it, as shares of the rows."""
PAIRS, DEGREE, LONG_DEGREE = 2, 3, 4
"""Most bases in a product, at first, later, and where there is one function only."""
MOST_VARIABLES = 20
MOST_BASES, LARGEST_BASE = 7, 4
"""Of the sets in which functions come together; nodes of a function in them."""
APART = 1e-5
"""Share that the terms of a relation must leave of each other otherwise."""
NEEDED = (1e-3, 1e-5, 1e-7, 1e-9)
"""Coefficients below these shares of the largest are left out, if the relation holds without them."""
LONGEST = 12
"""Terms of a relation."""
TRIED = 6
"""Relations that are looked at."""
HOLDS, MOST_ROWS = 1e-6, 0.9
"""Share of the largest term that a relation may leave on a row, on so many of them: rows far above all others make
relations of their own."""


class Extent(NamedTuple):
    """How many terms there are.

    Parameters
    ----------
    over, under : int
        Columns without y, and with it.
    independent : float
        Share of a term that shorter ones must leave unexplained.
    rounding : float, optional
        Share of a column that is rounding.
    """

    over: int
    under: int
    independent: float
    rounding: float = 1e-13


SMALL, LONG, LARGE = Extent(60, 30, 1e-6), Extent(130, 60, 1e-6), Extent(300, 150, 1e-11)
"""Different ones quickly; longer ones; and many, also such as are nearly alike."""
MIXED = Extent(130, 60, 1e-8, 1e-12)
"""Of many sets of functions."""
PARTED = Extent(120, 1, 1e-6)
"""Sums, one of whose terms is the reciprocal of a sum."""


class Relations:
    """Terms for the targets of one search.

    Parameters
    ----------
    X : array, shape (rows, features)
    bases : sequence of Node
        Of whose products the terms are.
    sizes : sequence of int
        How many nodes each adds to a product.
    degree : int
        Largest number of bases in a product.
    operators : OperatorSet
        Without division only sums are found.
    extent : Extent
    """

    def __init__(
        self,
        X: Array,
        bases: Sequence[Node],
        sizes: Sequence[int],
        degree: int,
        operators: OperatorSet,
        extent: Extent = SMALL,
    ) -> None:
        self._bases, self._minus = list(bases), ("-", 2) in operators.index
        self._X, self._sizes, self._operators, self._rounding = X, list(sizes), operators, extent.rounding
        over, under = (int(min(most, share * len(X))) for most, share in zip(extent[:2], SHARES, strict=True))
        terms = _products(sizes, degree, 3 * over // 2)
        columns = values_of(self._bases, X.T)
        largest = np.abs(columns).max(axis=1)  # Products of large or small ones would leave the range of numbers.
        largest = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        values = np.vstack([np.ones(len(X)), values_of_monomials(terms[1:], columns / largest[:, None])])
        usable = _usable(values)
        terms, values = list(itertools.compress(terms, usable)), values[usable]
        triangle = np.linalg.qr(_units(values)[0].T, mode="r")
        kept = np.flatnonzero(np.abs(np.diagonal(triangle)) > extent.independent)[:over]
        self._terms, self._values = [terms[k] for k in kept], values[kept]
        self._scales = np.array([np.prod(largest[list(term)]) for term in self._terms])
        self._under = min(len(kept), under if ("/", 2) in operators.index else 1)
        lengths = np.array([sum(sizes[i] for i in term) for term in self._terms])
        # Of the same length, terms with y come later: a sum is simpler than a quotient.
        self._order = np.argsort([*lengths, *(lengths[: self._under] + 0.5)], kind="stable")

    def found(self, target: Target, again: bool = True) -> Iterator[Node]:
        """Yield answers whose part is a quotient of two sums, if a target is one but for rounding.

        Parameters
        ----------
        target : Target
        again : bool, optional
            Whether the divisor of a quotient is a term of its own then, which may say the same in fewer words:
            ``a / b + c`` where ``(a + b c) / b`` was found.
        """
        largest = np.abs(target.values).max()
        below = self._values[: self._under] * (target.values / largest)
        columns = np.vstack([self._values, below]) * target.weight_of_rows
        order = self._order[_usable(columns)[self._order]]
        if len(order) < 2:
            return
        units, scale = _units(columns[order])
        triangle: Array = np.asarray(np.linalg.qr(units.T, mode="r"))
        for last in np.flatnonzero(np.abs(np.diagonal(triangle)) < self._rounding)[:TRIED].tolist():
            related = _related(units, triangle, last, self._rounding)
            if related is not None:
                kept, factors = related
                numbers, factors = order[kept], factors / scale[kept]
                factors = factors / np.append(self._scales, self._scales[: self._under] * largest)[numbers]
                yield from self._written(target, numbers, factors, again)

    def _written(self, target: Target, numbers: npt.NDArray[np.int64], factors: Array, again: bool) -> Iterator[Node]:
        """Yield a quotient, and what is shorter if only some of its terms are divided."""
        quotient = self._quotient(numbers, factors)
        if quotient is None:
            return
        above, below = quotient
        if not below.variables():
            yield target.wrap(_divided(replaced(above, self._bases)))
            return
        yield target.wrap(_divided(replaced(apply("/", above, below), self._bases)))
        if again and above.operator in ("+", "-"):
            used = sorted(above.variables() | below.variables())
            divisor = replaced(below, self._bases)
            bases = [*(self._bases[i] for i in used), apply("/", constant(1.0), divisor)]
            sizes = [*(self._sizes[i] for i in used), divisor.size + 1]
            relations = Relations(self._X, bases, sizes, DEGREE + 1, self._operators, PARTED)
            yield from relations.found(target, again=False)

    def _quotient(self, numbers: npt.NDArray[np.int64], factors: Array) -> tuple[Node, Node] | None:
        """Return both sides of the quotient that a sum of columns that is 0 says y is; None if that is nothing, or not
        in numbers."""
        count = len(self._terms)
        under = numbers >= count
        if under.all() or not under.any():
            return None
        factors = factors / factors[under][0]
        if not (np.isfinite(factors).all() and factors.all()):
            return None
        each = [(float(f), self._terms[k % count]) for f, k in zip(factors, numbers.tolist(), strict=True)]
        lower = [pair for pair, below in zip(each, under, strict=True) if below]
        upper = [(-factor, term) for (factor, term), below in zip(each, under, strict=True) if not below]
        return horner(upper, self._minus), horner(lower, self._minus)


def simple_bases(order: Sequence[int], operators: OperatorSet) -> tuple[list[Node], list[int]]:
    """Return variables, functions of them and their reciprocals, and how many nodes each adds to a product.

    Parameters
    ----------
    order : sequence of int
        Variables, the most important first.
    operators : OperatorSet
    """
    variables = [variable(i) for i in order[:MOST_VARIABLES]]
    functions = [apply(name, each) for name in operators.of_arity(1) for each in variables]
    over = [apply("/", constant(1.0), each) for each in variables] if ("/", 2) in operators.index else []
    return [*variables, *functions, *over], [2] * len(variables) + [3] * len(functions) + [2] * len(over)


def bases_of(order: Sequence[int], operators: OperatorSet, near: Sequence[Node]) -> Iterator[list[Node]]:
    """Yield sets of functions of variables.

    Parameters
    ----------
    order : sequence of int
        Variables, the most important first.
    operators : OperatorSet
    near : sequence of Node
        Good answers: the functions in them come together first.
    """
    variables = [variable(i) for i in order]
    seen: set[frozenset[Node]] = set()
    names = operators.of_arity(1)
    sets = [[*variables, *functions_in(near)], [*variables]]
    if len(variables) == 1:
        sets.append([*variables, *(apply(name, variables[0]) for name in names)])
    sets += [[*variables, *(apply(name, each) for each in variables)] for name in names]
    for bases in sets:
        some = bases[:MOST_BASES]
        if frozenset(some) not in seen:
            seen.add(frozenset(some))
            yield some


def functions_in(trees: Sequence[Node]) -> list[Node]:
    """Return the different small functions without constants in some trees, those of the first tree first."""
    functions = [node for tree in trees for node in tree if len(node.children) == 1]
    return list(dict.fromkeys(node for node in functions if node.size <= LARGEST_BASE and not node.constants()))


def _products(sizes: Sequence[int], largest: int, most: int) -> list[Monomial]:
    """Return so many products, 1 first and then the short ones."""
    found: list[Monomial] = [()]
    lengths = [np.zeros(1, dtype=np.int64)]
    for degree in range(1, largest + 1):
        more = itertools.combinations_with_replacement(range(len(sizes)), degree)
        found += (longer := list(itertools.islice(more, most * len(sizes))))
        lengths.append(np.asarray(sizes)[np.array(longer)].sum(axis=1))
    order = np.argsort(np.concatenate(lengths), kind="stable")[:most]
    return [found[k] for k in order.tolist()]


def _related(units: Array, triangle: Array, last: int, rounding: float) -> tuple[npt.NDArray[np.int64], Array] | None:
    """Return the few columns whose sum, with which factors, is nothing but rounding; the last is one of them."""
    with np.errstate(all="ignore"):
        try:
            factors = np.linalg.solve(triangle[:last, :last], triangle[:last, last])
        except np.linalg.LinAlgError:
            return None
    for share in NEEDED:
        kept = np.append(np.flatnonzero(np.abs(factors) > share * np.abs(factors).max()), last)
        if not 2 <= len(kept) <= LONGEST:
            return None
        _, values, rows = np.linalg.svd(np.linalg.qr(units[kept].T, mode="r"))
        if values[-1] < rounding:
            terms = units[kept] * rows[-1][:, None]
            holds = np.abs(terms.sum(axis=0)) <= HOLDS * np.abs(terms).max(axis=0)
            return (kept, rows[-1]) if values[-2] > APART and holds.mean() > MOST_ROWS else None
    return None


def _divided(tree: Node) -> Node:
    """Write products with reciprocals, and quotients by them, as quotients and products."""
    if not tree.children:
        return tree
    children = [_divided(child) for child in tree.children]
    if tree.operator in ("*", "/"):
        first, second = children
        if (divisor := _divisor(second)) is not None:
            return apply("/" if tree.operator == "*" else "*", first, divisor)
        if tree.operator == "*" and (divisor := _divisor(first)) is not None:
            return apply("/", second, divisor)
    return apply(tree.operator or "", *children)


def _divisor(node: Node) -> Node | None:
    """Return what a reciprocal is of; None if it is none."""
    return node.children[1] if node.operator == "/" and node.children[0].value == 1.0 else None


def _usable(columns: Array) -> npt.NDArray[np.bool_]:
    """Tell which columns are finite, with squares that are neither too large nor too small."""
    largest = np.abs(columns).max(axis=1)
    usable: npt.NDArray[np.bool_] = (largest > 1 / HUGE) & (largest < HUGE)
    return usable


def _units(columns: Array) -> tuple[Array, Array]:
    """Give columns the norm 1, with the same weight for all rows, and return what each was divided by.

    What depends on what does not change with the weights of rows; with them as they are, a row far above the others
    would decide alone.
    """
    scale = np.sqrt(np.square(columns).sum(axis=1))
    units = columns / scale[:, None]
    weights = np.sqrt(np.square(units).sum(axis=0))
    units = units / np.where(weights > 0, weights, 1.0)
    again = np.sqrt(np.square(units).sum(axis=1))
    return units / again[:, None], scale * again

"""Joins of two parts with a factor, and of many by their logarithms: what explains a target other than a sum.

Owns: ``a f g + c`` and ``a f / g + c``, ``f (a g + c)`` and ``(a g + c) / f``, products of powers.  Does not own: sums
(`sums`), which targets there are (`splits`), the order of work (`search`).

All pairs are scored by matrix products over the rows that screening looks at; the best are fitted on all rows.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, apply
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.library import NESTED_FIRSTS, NESTED_PARTS, Library, Moments
from pysr_neural.proposer.joins.splits import Target
from pysr_neural.proposer.joins.sums import Floats, smallest, sums
from pysr_neural.proposer.joins.writing import NEGLIGIBLE, power_law, sum_of

PER_FORM = 3
"""Joins of each form and target that are fitted."""
LARGEST_POWER = 12
"""Twice the largest power of a product of powers."""
MOST_FACTORS, BEAM = 5, 30
FARTHEST = 2.0
"""A factor that leaves more of a target than so many times its variance is told from others by rounding only."""


class Split(NamedTuple):
    """A factor that may be split off a target.

    Parameters
    ----------
    cost : float
        Unexplained fraction by ``a g + c`` below the factor, times what the nodes of both cost.
    left : float
        The fraction alone.
    rank : int
        Among those of its name, from 0.
    name : str
        ``"*"`` for a factor, ``"/"`` for a divisor.
    factor, partner : int
        Parts f and g.
    """

    cost: float
    left: float
    rank: int
    name: str
    factor: int
    partner: int

    def below(self, library: Library, target: Target) -> Target | None:
        """Return what is left; None where that is not finite."""
        split = target.times if self.name == "*" else target.over
        return split(library.tree(self.factor), library.values[self.factor])


def fitted_sum(library: Library, target: Target, terms: list[int], minus: bool) -> Node | None:
    """Fit a sum of parts, and a constant, to a target on all rows; returns the whole answer."""
    return whole_sum(target, library.values[terms], [library.tree(term) for term in terms], minus)


def whole_sum(target: Target, values: Array, trees: Sequence[Node], minus: bool) -> Node | None:
    """Fit a sum of trees of known values, and a constant, to a target; returns the whole answer, if it is finite."""
    weights = target.weight_of_rows
    columns = np.vstack([*values, np.ones_like(weights)]) * weights
    scale = np.abs(columns).max(axis=1)
    if not (np.isfinite(scale).all() and scale.all()):
        return None
    shares, *_ = np.linalg.lstsq((columns / scale[:, None]).T, target.values * weights, rcond=1e-15)
    factors = shares / scale
    if not np.isfinite(factors).all():
        return None
    reach = np.abs(factors[:-1]) * np.ptp(columns[:-1], axis=1)
    told = np.flatnonzero(reach > NEGLIGIBLE * reach.max())
    if not len(told):
        return None
    pairs = [(float(factors[k]), trees[k]) for k in told.tolist()]
    return target.wrap(sum_of(pairs, float(factors[-1]), float(np.ptp(target.values)), minus))


def products(library: Library, target: Target, v: Array, minus: bool, names: str) -> Iterator[Node]:
    """Yield the best ``a f g + c`` and ``a f / g + c`` for a target without weights.

    Parameters
    ----------
    library : Library
    target : Target
    v : array, shape (screened rows,)
        The target as `Frame.target` gives it.
    minus : bool
        Whether the search has subtraction.
    names : str
        ``"*"``, or ``"*/"``.
    """
    prices = library.base.prices
    for name in names:
        factors: Floats = library.factors(name).astype(library.dtype)
        left = 1 - np.square((factors * v.astype(library.dtype)) @ library.light.T) / library.products[name]
        np.maximum(left, library.base.floor, out=left)
        left *= prices
        partners = left.argmin(axis=1)
        costs = left[library.firsts, partners] * prices[library.firsts]
        for i in smallest(costs, PER_FORM).tolist():
            j = int(partners[i])
            f, g = library.values[i], library.values[j]
            join = (
                apply("*", library.tree(i), library.tree(j))
                if name == "*"
                else apply("/", library.tree(j), library.tree(i))
            )
            tree = _line(target, f * g if name == "*" else g / f, join, minus)
            if tree is not None:
                yield tree


def _line(target: Target, values: Array, join: Node, minus: bool) -> Node | None:
    """Fit ``a join + c`` to a target."""
    spread = values - values.mean()
    square = float(spread @ spread)
    factor = float(spread @ (target.values - target.values.mean())) / square if square > 0 else np.nan
    shift = float(target.values.mean() - factor * values.mean())
    if not np.isfinite([factor, shift]).all():
        return None
    return target.wrap(sum_of([(factor, join)], shift, float(np.ptp(target.values)), minus))


def factored(library: Library, target: Target, names: str, count: int) -> Iterator[Split]:
    """Yield factors and divisors that may be split off, the best of each by its fit of ``a g + c``."""
    nested = target.weights is not None
    most, firsts = (NESTED_PARTS, NESTED_FIRSTS) if nested else (len(library), len(library.firsts))
    prices = library.base.prices[:most]
    weights = target.weight_of_rows[library.rows]
    t = target.values[library.rows] * weights
    t = t / np.abs(t).max()
    spread = t - t.mean()
    total = float(spread @ spread)
    for name in names:
        if nested:
            moments = library.moments(_weighed(library.factors(name)[:firsts], weights), most)
        else:
            moments = library.multiplied if name == "*" else library.divided
        along = moments.factors @ t
        heights = along / np.maximum(moments.squares, 1e-300)
        level = (float(t @ t) - heights * along) / total
        left = (moments.factors * t).astype(library.dtype) @ library.base.units[:most].T
        left -= heights[:, None].astype(library.dtype) * moments.shared
        np.square(left, out=left)
        left /= moments.free
        left *= library.dtype(-1 / total)
        left += level.astype(library.dtype)[:, None]
        np.maximum(left, library.base.floor, out=left)
        left *= prices
        left[moments.squares == 0] = np.inf
        partners = left.argmin(axis=1)
        best = left[np.arange(len(left)), partners]
        costs = np.minimum(best, _with_another(library, moments, t, total, partners, prices, best / prices[partners]))
        costs *= library.base.prices[: len(costs)]
        costs[best / prices[partners] > FARTHEST] = np.inf
        for rank, i in enumerate(smallest(costs, count).tolist()):
            partner = int(partners[i])
            yield Split(float(costs[i]), float(best[i] / prices[partner]), rank, name, i, partner)


def _with_another(
    library: Library,
    moments: Moments,
    t: Array,
    total: float,
    partners: npt.NDArray[np.int64],
    prices: Floats,
    left: Floats,
) -> Floats:
    """Return what the best second part leaves below each factor, times what the nodes of both parts cost."""
    rows, dtype = np.arange(len(partners)), library.dtype
    units = library.base.units[: len(prices)]
    chosen = units[partners].astype(np.float64)
    squares = np.maximum(moments.squares, 1e-300)
    line = chosen - (moments.shared[rows, partners] / squares)[:, None]  # Without what the factor itself explains.
    below = moments.factors * line
    norms = np.einsum("ij,ij->i", below, below)
    rest = t - (moments.factors @ t / squares)[:, None] * moments.factors
    rest = rest - (np.einsum("ij,ij->i", below, rest) / np.maximum(norms, 1e-300))[:, None] * below
    more = (moments.factors * rest).astype(dtype) @ units.T
    shared = (moments.factors * below).astype(dtype) @ units.T
    shared -= (np.einsum("ij,ij->i", moments.factors, below) / squares)[:, None].astype(dtype) * moments.shared
    np.square(shared, out=shared)
    shared /= np.maximum(norms, 1e-300)[:, None].astype(dtype)
    free = moments.free - shared
    np.square(more, out=more)
    more /= np.where(free > library.base.independent * moments.free, free, np.inf)
    more *= dtype(-1 / total)
    more += np.maximum(left, 0)[:, None]
    np.maximum(more, library.base.floor, out=more)
    more *= prices
    return more.min(axis=1) * prices[partners]


def _weighed(factors: Array, weights: Array) -> Array:
    """Multiply factors with weights; none above 1."""
    factors = factors * weights
    largest = np.abs(factors).max(axis=1)[:, None]
    return np.where(largest > 0, factors / np.where(largest > 0, largest, 1), 0.0)


def powers(library: Library, target: Target, operators: OperatorSet, minus: bool, fixed: int) -> Iterator[Node]:
    """Yield the best products of half powers of parts for a target without weights, by sums of logarithms."""
    target_logs = np.log(np.abs(target.values))
    if not np.isfinite(target_logs).all() or np.ptp(target_logs) < NEGLIGIBLE:
        return
    logs = library.logarithms
    v = None if logs is None else logs.frame.target(target_logs[library.rows])
    if logs is None or v is None:
        return
    for _, terms in sums(logs.frame, v, BEAM, MOST_FACTORS, PER_FORM, fixed):
        design = np.vstack([*np.log(np.abs(library.values[logs.usable[terms]])), np.ones(len(target_logs))])
        exponents, *_ = np.linalg.lstsq(design.T, target_logs, rcond=1e-14)
        halves = np.rint(2 * exponents[:-1])
        if not halves.any() or np.abs(halves).max() > LARGEST_POWER:
            continue
        factors = [(library.tree(int(logs.usable[k])), int(h)) for k, h in zip(terms, halves, strict=True) if h]
        tree = power_law(factors, operators, logs.negative)
        if tree is not None:
            found = _line(target, evaluate(tree, library.parts.columns.T), tree, minus)
            if found is not None:
                yield found

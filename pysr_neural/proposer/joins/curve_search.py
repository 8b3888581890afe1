"""Sums with a curve, a part with a free constant inside: which curves beside which parts explain a target.

Owns: `Curves`, the screening of curves and the fit of their constants.  Does not own: families of curves (`curves`),
sums of parts without constants (`sums`), the order of work (`search`).

Constants are first taken from a grid, each curve alone and beside each part, all others eliminated by least squares.
The best are then fitted by the Gauss–Newton method, many at once, and get further parts as long as these explain
enough.

References
----------
G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413: the projection.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.curve_grid import Grid, normal
from pysr_neural.proposer.joins.curves import Family, families
from pysr_neural.proposer.joins.library import Library
from pysr_neural.proposer.joins.splits import Target
from pysr_neural.proposer.joins.sums import EXACT, Floats, smallest
from pysr_neural.proposer.joins.writing import NEGLIGIBLE, sum_of

INNER = 24
"""Inner parts."""
CURVES = 300
"""Curves of the grid that are told from each other with their best parts."""
FITTED_FIRST = 96
"""Curves of the grid whose constants are fitted a little, before most of them are left."""
SIMPLE = 32
"""Further ones, of a variable beside a variable."""
FIRST_ITERATIONS = 4
LARGEST_INNER, FLAT = 7, 30.0
"""Most nodes of an inner part, and its largest range over its standard deviation."""
PARTNERS = 250
BEAM = 24
PER_INNER = 4
"""Fits of one family and inner part that are followed, each beside another part."""
ITERATIONS = 9
LONGEST_STEP = 1.0
GAIN = 0.6
"""A further part must bring the price below this share of what it was."""
MOST_PARTS = 3
GIVEN = 6


class Curves:
    """The curves over a library's first parts, on a grid of constants.

    Parameters
    ----------
    library : Library
    operators : OperatorSet
    plain : container of int
        Parts that may stand beside a curve: others explain too much already, and only nearly.
    """

    def __init__(self, library: Library, operators: OperatorSet, plain: Container[int]) -> None:
        self.library, self.operators = library, operators
        self.inner = _inner(library)
        screened = library.screened[self.inner]
        low, high = library.values[self.inner].min(axis=1), library.values[self.inner].max(axis=1)
        self.middle, self.reach = (low + high) / 2, high - low
        self.u: Array = (screened - self.middle[:, None]) / self.reach[:, None]
        self.families = families(operators)
        kinds: list[int] = []
        inner: list[int] = []
        starts: list[float] = []
        columns: list[Array] = []
        for kind, family in enumerate(self.families):
            for start in family.starts:
                values = family.values(self.u, np.full((len(self.u), 1), start))
                if values.shape[1] == 1:
                    values = np.concatenate([values, np.zeros_like(values)], axis=1)
                columns.append(values)
                kinds += [kind] * len(self.u)
                inner += range(len(self.u))
                starts += [start] * len(self.u)
        self.kinds, self.places = np.array(kinds, dtype=np.int64), np.array(inner, dtype=np.int64)
        self.starts = np.array(starts)
        self.columns: Array = np.concatenate(columns) if columns else np.empty((0, 2, screened.shape[1]))
        sizes = np.array([family.size for family in self.families], dtype=np.int64)
        self.sizes = sizes[self.kinds] + library.sizes[self.inner[self.places]]
        partners = [k for k, part in enumerate(library.kept.tolist()) if part in plain]
        self.partners = np.array(partners[:PARTNERS], dtype=np.int64)
        self.units = library.base.units[self.partners]
        self.grid = Grid(self.columns, library.base.level, self.units)

    def found(self, v: Array) -> Iterator[tuple[float, _Fits, int]]:
        """Yield fits to a target, the cheapest first: their price, and where they are."""
        fits = self._screened(v)
        told: list[tuple[float, _Fits, int]] = []
        for parts in range(MOST_PARTS + 1):
            if fits is None:
                break
            fits.descend()
            told += [(float(price), fits, k) for k, price in enumerate(fits.prices) if np.isfinite(price)]
            if fits.left.min() < EXACT or parts == MOST_PARTS:
                break
            fits = fits.grown()
        told.sort(key=lambda each: each[0])
        yield from told[:GIVEN]

    def _screened(self, v: Array) -> _Fits | None:
        """Choose the curves of the grid, and a part beside each, that explain most of a target."""
        if not (len(self.starts) and len(self.partners)):
            return None
        costs, alone = self.grid.left(v, self.library.base.prices[self.partners])
        price = np.exp(self.library.size_price * self.sizes)
        costs *= price[:, None].astype(costs.dtype)
        best = smallest(costs.min(axis=1), CURVES)
        pairs = smallest(costs[best].ravel(), 16 * FITTED_FIRST)
        curves, partners = best[pairs // costs.shape[1]], pairs % costs.shape[1]
        single = smallest(alone * price, len(self.families))
        chosen: list[tuple[int, int]] = [(int(curve), -1) for curve in single]
        seen: dict[tuple[int, ...], int] = {}
        for curve, partner in zip(curves.tolist(), partners.tolist(), strict=True):
            if len(chosen) == FITTED_FIRST:
                break
            group = int(self.kinds[curve]), int(self.places[curve])
            if seen.get(group, 0) < PER_INNER and (*group, partner) not in seen:
                seen[group] = seen.get(group, 0) + 1
                seen[*group, partner] = 1
                chosen.append((curve, int(self.partners[partner])))
        chosen += [pair for pair in self._simple(costs) if pair not in chosen]
        if not chosen:
            return None
        fits = _Fits.of(self, v, *np.array(chosen).T)
        fits.descend(FIRST_ITERATIONS)
        return fits.best(BEAM)

    def _simple(self, costs: Floats) -> Iterator[tuple[int, int]]:
        """Yield the best points of the grid of a variable inside and one beside the curve.

        Sums with functions of the same variable come closer there, and would crowd them out.
        """
        sizes = self.library.sizes
        curves = np.flatnonzero(sizes[self.inner[self.places]] == 1)
        beside = np.flatnonzero(sizes[self.partners] == 1)
        found: dict[tuple[int, ...], tuple[int, int]] = {}
        some = costs[np.ix_(curves, beside)]
        for at in np.argsort(some, axis=None, kind="stable").tolist():
            curve, partner = int(curves[at // len(beside)]), int(beside[at % len(beside)])
            if not np.isfinite(costs[curve, partner]) or len(found) == SIMPLE:
                break
            found.setdefault(
                (int(self.kinds[curve]), int(self.places[curve]), partner), (curve, int(self.partners[partner]))
            )
        yield from found.values()

    def written(self, fits: _Fits, k: int, target: Target, minus: bool) -> Node | None:
        """Fit the coefficients of a sum with a curve on all rows; returns the whole answer."""
        library, family, place = self.library, self.families[int(fits.kinds[k])], int(fits.places[k])
        inner = self.inner[place]
        u = (library.values[inner] - self.middle[place]) / self.reach[place]
        curve = family.values(u[None], np.full((1, 1), fits.theta[k]))[0]
        terms = [int(part) for part in fits.parts[k] if part >= 0]
        columns = np.vstack([curve, library.values[terms], np.ones(len(u))])
        scale = np.abs(columns).max(axis=1)
        if not (np.isfinite(scale).all() and scale.all()):
            return None
        shares, *_ = np.linalg.lstsq((columns / scale[:, None]).T, target.values, rcond=1e-15)
        factors = shares / scale
        placed = float(self.middle[place]), float(self.reach[place])
        with np.errstate(all="ignore"):
            factor, tree, shift = family.write(
                self.operators, library.tree(int(inner)), placed, float(fits.theta[k]), factors[: len(curve)].tolist()
            )
        pairs = [
            (factor, tree),
            *((float(f), library.tree(t)) for f, t in zip(factors[len(curve) : -1], terms, strict=True)),
        ]
        constants = [value for _, part in pairs for value in part.constants()]
        if not np.isfinite([shift, *(factor for factor, _ in pairs), *constants]).all():
            return None
        reach = np.abs(factors[:-1]) * np.ptp(columns[:-1], axis=1)
        kept = [
            pair
            for pair, size in zip(pairs, [reach.max(), *reach[len(curve) :]], strict=True)
            if size > NEGLIGIBLE * reach.max()
        ]
        return target.wrap(sum_of(kept, float(factors[-1]) + shift, float(np.ptp(target.values)), minus))


def _inner(library: Library) -> npt.NDArray[np.int64]:
    """Choose the inner parts: the first ones without functions that vary moderately, and logarithms of variables."""
    chosen: list[int] = []
    for part in range(len(library)):
        if len(chosen) == INNER:
            break
        values, size = library.values[part], library.sizes[part]
        if size <= LARGEST_INNER and np.ptp(values) < FLAT * np.std(values) and _plain(library.tree(part)):
            chosen.append(part)
    return np.array(chosen, dtype=np.int64)


def _plain(tree: Node) -> bool:
    if tree.operator == "log" and not tree.children[0].children:
        return True
    return all(node.value is None and len(node.children) != 1 for node in tree)


@dataclass
class _Fits:
    """Sums of a curve and some parts, as many of them fitted at once.

    Parameters
    ----------
    curves : Curves
    v : array, shape (rows,)
        The target, of norm 1 and orthogonal to a constant.
    kinds, places : array of int, shape (fits,)
        Families, and inner parts.
    theta : array, shape (fits,)
    parts : array of int, shape (fits, parts)
        -1 for none.
    basis : array, shape (fits, parts + 1, rows)
        Orthonormal, of a constant and the parts.
    """

    curves: Curves
    v: Array
    kinds: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    theta: Array
    parts: npt.NDArray[np.int64]
    basis: Array
    left: Array
    rest: Array
    directions: Array
    factors: Array
    prices: Array
    aim: Array

    @classmethod
    def of(cls, curves: Curves, v: Array, chosen: npt.NDArray[np.int64], partners: npt.NDArray[np.int64]) -> _Fits:
        """Start from points of the grid, each beside one part or none."""
        count, rows = len(chosen), len(v)
        level = np.broadcast_to(curves.library.base.level, (count, 1, rows))
        empty = np.empty(0)
        fits = cls(
            curves, v, curves.kinds[chosen], curves.places[chosen], curves.starts[chosen],
            np.empty((count, 0), dtype=np.int64), np.array(level), empty, empty, empty, empty, empty, empty,
        )  # fmt: skip
        return fits._with(np.arange(count), partners)

    def _with(self, chosen: npt.NDArray[np.int64], parts: npt.NDArray[np.int64]) -> _Fits:
        """Return some of the fits with one part more each; -1 for none."""
        basis = self.basis[chosen]
        column = self.curves.library.base.exact(np.maximum(parts, 0))
        for _ in range(2):
            column = column - np.einsum("kbr,kb->kr", basis, np.einsum("kbr,kr->kb", basis, column))
        column, _ = normal(column)
        column[parts < 0] = 0
        fits = _Fits(
            self.curves, self.v, self.kinds[chosen], self.places[chosen], self.theta[chosen].copy(),
            np.column_stack([self.parts[chosen], parts]), np.concatenate([basis, column[:, None]], axis=1),
            np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0),
        )  # fmt: skip
        fits._evaluate()
        return fits

    def _columns(self, theta: Array, slopes: bool = False) -> Array:
        """Return the curves' columns, or their slopes, shape (fits, 2, rows)."""
        result = np.zeros((len(theta), 2, len(self.v)))
        for kind in set(self.kinds.tolist()):
            mine = np.flatnonzero(self.kinds == kind)
            family: Family = self.curves.families[kind]
            made = (family.slopes if slopes else family.values)(self.curves.u[self.places[mine]], theta[mine, None])
            result[mine, : made.shape[1]] = made
        return result

    def _project(self, columns: Array) -> Array:
        for _ in range(2):
            columns = columns - (columns @ self.basis.transpose(0, 2, 1)) @ self.basis
        return columns

    def _solved(self, theta: Array) -> tuple[Array, Array, Array, Array]:
        """Eliminate the coefficients; returns what is left, the residuals, orthonormal columns, coefficients."""
        columns = self._project(self._columns(theta))
        first, norm = columns[:, 0], np.sqrt(np.einsum("kr,kr->k", columns[:, 0], columns[:, 0]))
        one = first / np.where(norm > 1e-9, norm, np.inf)[:, None]
        shared = np.einsum("kr,kr->k", one, columns[:, 1])
        second = columns[:, 1] - shared[:, None] * one
        norm2 = np.sqrt(np.einsum("kr,kr->k", second, second))
        two = second / np.where(norm2 > 1e-9, norm2, np.inf)[:, None]
        rest = self.aim
        a, b = np.einsum("kr,kr->k", one, rest), np.einsum("kr,kr->k", two, rest)
        rest = rest - a[:, None] * one - b[:, None] * two
        second_factor = b / np.where(norm2 > 1e-9, norm2, np.inf)
        first_factor = (a - shared * second_factor) / np.where(norm > 1e-9, norm, np.inf)
        left = np.einsum("kr,kr->k", rest, rest)
        left = np.where(np.isfinite(left), left, np.inf)
        return left, rest, np.stack([one, two], axis=1), np.stack([first_factor, second_factor], axis=1)

    def _evaluate(self) -> None:
        self.aim = self.v - ((self.basis @ self.v)[:, None] @ self.basis)[:, 0]
        self.left, self.rest, self.directions, self.factors = self._solved(self.theta)
        library = self.curves.library
        sizes = np.array([family.size for family in self.curves.families])[self.kinds]
        sizes = sizes + library.sizes[self.curves.inner[self.places]]
        sizes += np.where(self.parts >= 0, library.sizes[np.maximum(self.parts, 0)] + 1, 0).sum(axis=1)
        self.prices = np.maximum(self.left, EXACT) * np.exp(library.size_price * sizes)

    def best(self, count: int) -> _Fits:
        """Return the cheapest fits."""
        kept = smallest(self.prices, count)
        return replace(self, **{name: getattr(self, name)[kept] for name in _BY_FIT})

    def descend(self, iterations: int = ITERATIONS) -> None:
        """Fit the constants."""
        damping = np.ones(len(self.theta))
        for _ in range(iterations):
            slopes = np.einsum("kc,kcr->kr", self.factors, self._columns(self.theta, slopes=True))
            slopes = self._project(slopes[:, None])[:, 0]
            shares = np.einsum("kr,kcr->kc", slopes, self.directions)
            slopes = slopes - np.einsum("kc,kcr->kr", shares, self.directions)
            square = np.einsum("kr,kr->k", slopes, slopes)
            step = np.einsum("kr,kr->k", slopes, self.rest) / np.where(square > 0, square, np.inf)
            longest = LONGEST_STEP + 0.2 * np.abs(self.theta)
            step = np.clip(np.where(np.isfinite(step), step, 0.0), -longest, longest) * damping
            if not step.any():
                break
            moved = self.theta + step
            left, rest, directions, factors = self._solved(moved)
            better = left < self.left
            damping = np.where(better, np.minimum(1.0, 2 * damping), damping / 4)
            self.theta = np.where(better, moved, self.theta)
            self.left = np.where(better, left, self.left)
            self.rest[better], self.directions[better] = rest[better], directions[better]
            self.factors[better] = factors[better]
        self._evaluate()

    def grown(self) -> _Fits | None:
        """Add to each fit the part that explains most of what it leaves; keep the cheapest, if cheap enough."""
        library = self.curves.library
        units = self.curves.units
        norms = np.sqrt(np.maximum(self.left, 1e-300))
        along = (self.rest / norms[:, None]).astype(units.dtype) @ units.T
        used = np.zeros_like(along)
        for column in (*self.basis.transpose(1, 0, 2)[1:], *self.directions.transpose(1, 0, 2)):
            used += np.square(column.astype(units.dtype) @ units.T)
        free = 1 - used
        usable = free > library.base.independent
        costs = np.maximum(1 - along * along / np.where(usable, free, 1), library.base.floor)
        costs *= library.base.prices[self.curves.partners]
        costs = np.where(usable, costs, np.inf) * self.prices[:, None]
        chosen = smallest(costs.ravel(), BEAM)
        fits, parts = np.divmod(chosen, costs.shape[1])
        cheap = costs.ravel()[chosen] <= GAIN * self.prices.min() * 3
        if not cheap.any():
            return None
        return self._with(fits[cheap], self.curves.partners[parts[cheap]])


_BY_FIT = ("kinds", "places", "theta", "parts", "basis", "left", "rest", "directions", "factors", "prices", "aim")


def with_curves(curves: Curves, target: Target, v: Array, minus: bool) -> Iterator[Node]:
    """Yield the best sums with a curve for a target without weights, as whole answers."""
    for _, fits, k in curves.found(v):
        tree = curves.written(fits, k, target, minus)
        if tree is not None:
            yield tree

"""Two curves, each with a free constant inside, fitted at once: their product, or their sum.

Owns: `PairFits`, the columns of such pairs and the Gauss–Newton method for both constants, many pairs at once.  Does
not own: families of curves (`curves`), which pairs are worth a fit (`pair_grid`).

All that enters linearly is eliminated by least squares: coefficients, and the phase of a wave, which is a sine and a
cosine.

References
----------
G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413: the projection.
L. Kaufman, BIT 15 (1975) 49: its derivative without the smaller of two terms.
"""

from copy import copy
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.operators import Array
from pysr_neural.proposer.joins.curves import Family
from pysr_neural.proposer.joins.pair_grid import FAMILIES, Curve, Integers, Places
from pysr_neural.proposer.joins.sums import EXACT

DEPENDENT = 1e-12
"""Added to squares of columns of norm 1, so that those that depend on each other are no error."""
LONGEST_STEP, LONGER = 1.0, 0.2
"""Of a constant, and more by that share of it."""
RIDGE = 1e-9
"""Added to squares of slopes of 1."""
Booleans = npt.NDArray[np.bool_]


class Solved(NamedTuple):
    """Pairs at some constants, with all coefficients eliminated.

    Parameters
    ----------
    left : array, shape (pairs,)
        Share of the target.
    rest : array, shape (pairs, rows)
    columns : array, shape (pairs, 4, rows)
        Of mean 0 and norm 1; zeros for those that say nothing.
    inverse : array, shape (pairs, 4, 4)
        Of their products.
    coefficients : array, shape (pairs, 4)
    first, second : array, shape (pairs, 2, rows)
        The curves.
    """

    left: Array
    rest: Array
    columns: Array
    inverse: Array
    coefficients: Array
    first: Array
    second: Array


class PairFits:
    """Pairs of curves, all of them fitted at once.

    Parameters
    ----------
    places : Places
    factors : array, shape (factors, rows)
    v : array, shape (rows,)
        The target, of norm 1 and mean 0.
    one, two : Curve
        First and second curves; the constants are fitted.
    product : array of bool, shape (pairs,)
        Whether the second curve is multiplied with the first, or added.
    level : array of bool, shape (pairs,)
        Whether a product's second curve may have a constant added.
    """

    def __init__(
        self, places: Places, factors: Array, v: Array, one: Curve, two: Curve, product: Booleans, level: Booleans
    ) -> None:
        self.places, self.factors, self.v = places, factors, v
        self.one, self.two, self.product, self.level = one, two, product, level
        self._first, self._second = _Side(one, places, factors), _Side(two, places, factors)
        self.now = self._solved(one.theta, two.theta)

    def __len__(self) -> int:
        return len(self.product)

    def some(self, chosen: Integers) -> "PairFits":
        """Return some of the pairs."""
        fits = copy(self)
        fits.one, fits.two = self.one.some(chosen), self.two.some(chosen)
        fits.product, fits.level = self.product[chosen], self.level[chosen]
        fits._first, fits._second = (_Side(each, self.places, self.factors) for each in (fits.one, fits.two))
        fits.now = Solved(*(each[chosen] for each in self.now))
        return fits

    def on(self, places: Places, factors: Array, v: Array, chosen: Integers, level: Booleans) -> "PairFits":
        """Return some of the pairs on other rows."""
        one, two = self.one.some(chosen), self.two.some(chosen)
        return PairFits(places, factors, v, one, two, self.product[chosen], level)

    def sizes(self, factors: Integers) -> Integers:
        """Return numbers of nodes, but those of coefficients."""
        return self.one.sizes(self.places, factors) + self.two.sizes(self.places, factors)

    def columns(self) -> Array:
        """Return the columns that are fitted, shape (pairs, 4, rows)."""
        return self._joined(self.now.first, self.now.second)

    def _joined(self, first: Array, second: Array) -> Array:
        columns = np.concatenate([first, second], axis=1)
        columns[self.product, 2:] *= first[self.product, :1]
        columns[self.product & ~self.level, 0] = 0.0
        return columns

    def _solved(self, one: Array, two: Array) -> Solved:
        first, second = self._first.values(one), self._second.values(two)
        columns = self._joined(first, second)
        columns -= columns.mean(axis=2, keepdims=True)
        sizes = np.sqrt(np.einsum("kcr,kcr->kc", columns, columns))
        usable = np.isfinite(sizes) & (sizes > 0)
        columns /= np.where(usable, sizes, 1.0)[:, :, None]
        columns[~usable] = 0.0
        across = columns.transpose(0, 2, 1)
        inverse: Array = np.asarray(np.linalg.inv(columns @ across + DEPENDENT * np.eye(columns.shape[1])))
        rest, shares = np.broadcast_to(self.v, (len(columns), 1, len(self.v))), np.zeros((len(columns), 1, 4))
        for _ in range(2):  # The second time against rounding.
            more = (rest @ across) @ inverse
            shares, rest = shares + more, rest - more @ columns
        coefficients = shares[:, 0] / np.where(usable, sizes, np.inf)
        rest = rest[:, 0]
        left = np.einsum("kr,kr->k", rest, rest)
        return Solved(left, rest, columns, inverse, coefficients, first, second)

    def descend(self, iterations: int) -> None:
        """Fit the constants."""
        damping = np.ones(len(self))
        for _ in range(iterations):
            steps = self._steps() * damping[:, None]
            if not steps.any() or not (self.now.left > EXACT).any():
                break
            one, two = self.one.theta + steps[:, 0], self.two.theta + steps[:, 1]
            new = self._solved(one, two)
            better = new.left < self.now.left
            damping = np.where(better, np.minimum(1.0, 2 * damping), damping / 4)
            self.one = self.one._replace(theta=np.where(better, one, self.one.theta))
            self.two = self.two._replace(theta=np.where(better, two, self.two.theta))
            for mine, its in zip(self.now, new, strict=True):
                mine[better] = its[better]

    def _steps(self) -> Array:
        """Return the Gauss–Newton step of both constants, shape (pairs, 2)."""
        now, product = self.now, self.product[:, None]
        coefficients = now.coefficients[:, :, None]
        first, second = self._first.values(self.one.theta, True), self._second.values(self.two.theta, True)
        beside = coefficients[:, 0] + (coefficients[:, 2:] * now.second).sum(axis=1)
        one = np.where(product, first[:, 0] * beside, (coefficients[:, :2] * first).sum(axis=1))
        two = (coefficients[:, 2:] * second).sum(axis=1)
        slopes = np.stack([one, np.where(product, now.first[:, 0] * two, two)], axis=1)
        slopes -= slopes.mean(axis=2, keepdims=True)
        slopes[~np.isfinite(slopes).all(axis=2)] = 0.0
        slopes -= ((slopes @ now.columns.transpose(0, 2, 1)) @ now.inverse) @ now.columns
        square = slopes @ slopes.transpose(0, 2, 1)
        size = square[:, (0, 1), (0, 1)]
        square[:, (0, 1), (0, 1)] += np.where(size > 0, RIDGE * size, 1.0)
        steps = np.linalg.solve(square, slopes @ now.rest[:, :, None])[:, :, 0]
        theta = np.stack([self.one.theta, self.two.theta], axis=1)
        far = np.abs(steps) / (LONGEST_STEP + LONGER * np.abs(theta))
        steps /= np.maximum(far.max(axis=1), 1.0)[:, None]
        return np.where(np.isfinite(steps), steps, 0.0)


class _Side:
    """The first or the second curves of some pairs, by family."""

    def __init__(self, curve: Curve, places: Places, factors: Array) -> None:
        self._shape = len(curve.family), 2, factors.shape[1]
        self._fixed = np.flatnonzero(curve.place < 0)
        self._factors = factors[curve.factor][:, None] if curve.factor.any() else None
        self._families: list[tuple[Family, Integers, Array]] = []
        for number, family in enumerate(FAMILIES):
            mine = np.flatnonzero((curve.family == number) & (curve.place >= 0))
            if len(mine):
                u = places.anchored if family.anchored else places.centred
                self._families.append((family, mine, u[curve.place[mine]]))

    def values(self, theta: Array, slopes: bool = False) -> Array:
        """Return columns, or their slopes, shape (pairs, 2, rows); zeros for a second that there is not."""
        result = np.zeros(self._shape)
        for family, mine, u in self._families:
            made = (family.slopes if slopes else family.values)(u, theta[mine, None])
            result[mine, : made.shape[1]] = made
        if not slopes:
            result[self._fixed, 0] = 1.0
        return result if self._factors is None else result * self._factors

"""Two curves on a grid of constants: what their products and sums leave of a target.

Owns: `PairGrid`, which first and second curves there are, all pairs in a few products of matrices.  Does not own:
families of curves (`curves`), the fit of constants (`pair_fits`), what inner parts there are (`curve_pairs`).

A product's first curve is a factor without a constant, an exponential (of a logarithm: a power), or both.  Beside each
product a constant and the first curve alone are fitted.  A wave is two columns, so that its phase is no constant.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.curve_grid import normal
from pysr_neural.proposer.joins.curves import EXPONENTIAL, QUANTA, STEEPNESSES, WAVE
from pysr_neural.proposer.joins.sums import Floats, smallest

FAMILIES = (EXPONENTIAL, WAVE, *QUANTA)
"""Of both curves; numbers of families are places in it."""
WAVES = 1
STEP, FIRST_FREQUENCY = 2.0, 0.7
"""Between frequencies that are tried: a fit finds the way from half of it; and the first: changes of the phase over the
range of the inner part."""
HIGHEST, HIGHEST_OF_MANY = 120.0, 60.0
"""Frequency, of one variable and of more."""
FINER = (0.4, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0, 11.0, 16.0, 23.0, 32.0)
"""Steepnesses, of one variable."""
MOST_FIRST, MOST_FIRST_OF_ONE = 160, 240
"""First curves of a product."""
FLOOR = 3e-7
"""Share of a target that is rounding: single precision."""
INDEPENDENT = 1e-4
"""Least share of a curve that what is fitted beside it must leave of it."""
SINGLES, PER_GROUP = 10, 4
"""Curves alone that second ones are added to, and those of them of one family and inner part."""

Integers = npt.NDArray[np.int64]


class Places(NamedTuple):
    """Inner parts of curves, and where their values lie.

    Parameters
    ----------
    trees : sequence of Node
    middle, reach : array, shape (parts,)
        Of their ranges: the middle, and the size.
    centred, anchored : array, shape (parts, rows)
        Distances from the middle, and values, over the range.
    """

    trees: Sequence[Node]
    middle: Array
    reach: Array
    centred: Array
    anchored: Array

    @classmethod
    def of(cls, trees: Sequence[Node], values: Array) -> "Places":
        """Place inner parts by their values, shape (parts, rows)."""
        low, high = values.min(axis=1), values.max(axis=1)
        middle, reach = (low + high) / 2, high - low
        return cls(trees, middle, reach, (values - middle[:, None]) / reach[:, None], values / reach[:, None])

    def on(self, rows: slice) -> "Places":
        """Keep some rows."""
        return self._replace(centred=self.centred[:, rows], anchored=self.anchored[:, rows])

    @property
    def sizes(self) -> Integers:
        """Numbers of nodes."""
        return np.array([tree.size for tree in self.trees], dtype=np.int64)


class Curve(NamedTuple):
    """Curves of the grid: the numbers of their families, factors and inner parts, -1 for none, and their constants."""

    family: Integers
    factor: Integers
    place: Integers
    theta: Array

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int, float]]) -> "Curve":
        """Take curves that are given one by one."""
        family, factor, place, theta = zip(*rows, strict=True) if rows else ((), (), (), ())
        numbers = (np.array(each, dtype=np.int64) for each in (family, factor, place))
        return cls(next(numbers), next(numbers), next(numbers), np.array(theta, dtype=np.float64))

    def some(self, chosen: Integers) -> "Curve":
        """Return some of them."""
        return Curve(self.family[chosen], self.factor[chosen], self.place[chosen], self.theta[chosen])

    def and_then(self, other: "Curve") -> "Curve":
        """Return these and others."""
        numbers = (np.concatenate(pair) for pair in zip(self[:3], other[:3], strict=True))
        return Curve(next(numbers), next(numbers), next(numbers), np.concatenate([self.theta, other.theta]))

    def sizes(self, places: Places, factors: Integers) -> Integers:
        """Return their numbers of nodes, given those of the factors."""
        own = np.array([family.size for family in FAMILIES])[self.family] + places.sizes[self.place]
        return np.where(self.place < 0, 0, own) + factors[self.factor]

    @property
    def groups(self) -> Integers:
        """A number of family, factor and inner part."""
        return (self.family * 1000 + self.factor) * 1000 + self.place


class PairGrid:
    """All pairs of a first and a second curve.

    Parameters
    ----------
    places : Places
    factors : array, shape (factors, rows)
        Ones first.
    sizes : array of int, shape (factors,)
        Nodes that each adds.
    operators : OperatorSet
    size_price : float
        See `sums.SIZE_PRICE`.
    single : bool
        Whether there is one variable only: then the grid is finer.
    """

    def __init__(
        self,
        places: Places,
        factors: Array,
        sizes: Integers,
        operators: OperatorSet,
        size_price: float,
        single: bool,
    ) -> None:
        self.second, self._alone, columns = _second_curves(places, operators, single)
        self.first, envelopes = _first_curves(places, factors, operators, single)
        self._columns, self._envelopes = columns.astype(np.float32), envelopes.astype(np.float32)
        price = np.exp(size_price * self.second.sizes(places, sizes)).astype(np.float32)
        self._prices = np.exp(size_price * self.first.sizes(places, sizes)).astype(np.float32)[:, None] * price
        self._levels = normal(envelopes - envelopes.mean(axis=1)[:, None])[0].astype(np.float32)
        self._moments = self._products_moments()

    @property
    def _ends(self) -> tuple[int, int]:
        """The curves of one column, and of two."""
        return self._alone, len(self.second.theta)

    def _products_moments(self) -> "_Moments":
        """Work out what a constant and the first curve leave of all products."""
        n, m = self._ends
        C, e, squares = self._columns, self._envelopes, np.square(self._envelopes)
        level, along = e @ C.T / np.float32(np.sqrt(C.shape[1])), (e * self._levels) @ C.T
        whole = squares @ np.square(C).T
        cross = squares @ (C[n:m] * C[m:]).T
        cross -= level[:, n:m] * level[:, m:] + along[:, n:m] * along[:, m:]
        return _Moments.of(whole, whole - np.square(level) - np.square(along), cross, n, m)

    def products(self, v: Array, counts: Sequence[int]) -> list[tuple[int, int]]:
        """Return the first and second curves of the best products for a target of norm 1 and mean 0, so many of each
        family, each with other inner parts or factors."""
        target = v.astype(np.float32)
        along = self._levels @ target
        shares = (self._envelopes * (target - self._levels * along[:, None])) @ self._columns.T
        costs = self._moments.explained(shares)
        np.subtract((1 - along * along)[:, None], costs, out=costs)
        np.maximum(costs, FLOOR, out=costs)
        costs *= self._prices
        one, two = self.first.groups, self.second.groups
        chosen: list[tuple[int, int]] = []
        for family, count in enumerate(counts):
            mine = np.flatnonzero(self.second.family == family)
            some, found = costs[:, mine], dict[tuple[int, int], tuple[int, int]]()
            for at in smallest(some.ravel(), 40 * count).tolist():
                i, j = at // len(mine), int(mine[at % len(mine)])
                found.setdefault((int(one[i]), int(two[j])), (i, j))
                if len(found) == count:
                    break
            chosen += found.values()
        return chosen

    def sums(self, v: Array, count: int) -> list[tuple[int, int]]:
        """Return both curves of the best sums of two."""
        prices, target = self._prices[0], v.astype(np.float32)
        explained = self._moments.of_first(0).explained(self._columns @ target)
        singles = self._grouped(np.maximum(1 - explained, FLOOR) * prices, SINGLES)
        pairs: dict[tuple[int, int], float] = {}
        for i in singles:
            costs = self._beside(i, target) * prices * prices[i]
            for j in smallest(costs, count).tolist():
                pairs.setdefault((min(i, j), max(i, j)), float(costs[j]))
        found: list[tuple[int, int]] = []
        seen: dict[tuple[int, int], int] = {}
        groups = self.second.groups
        for i, j in sorted(pairs, key=pairs.__getitem__):
            group = int(min(groups[i], groups[j])), int(max(groups[i], groups[j]))
            seen[group] = seen.get(group, 0) + 1
            if seen[group] <= PER_GROUP and len(found) < count:
                found.append((i, j))
        return found

    def _grouped(self, costs: Floats, count: int) -> list[int]:
        """Choose the cheapest curves, not too many of a group."""
        chosen: list[int] = []
        seen: dict[int, int] = {}
        for at in smallest(costs, 8 * count).tolist():
            group = int(self.second.groups[at])
            seen[group] = seen.get(group, 0) + 1
            if seen[group] <= PER_GROUP and len(chosen) < count:
                chosen.append(at)
        return chosen

    def _beside(self, i: int, target: Floats) -> Floats:
        """Return what each curve leaves of a target beside curve i."""
        n, m = self._ends
        mine = self._columns[[i] if i < n else [i, i + m - n]].astype(np.float64)
        basis = np.linalg.qr(np.vstack([np.ones(len(target)), mine]).T)[0].T.astype(np.float32)
        rest = target - (basis @ target) @ basis
        shared, before = self._columns @ basis[1:].T, self._moments.of_first(0)
        cross = before.cross - np.einsum("ij,ij->i", shared[n:m], shared[m:])
        moments = _Moments.of(before.norms, before.norms - np.square(shared).sum(axis=1), cross, n, m)
        left: Floats = np.maximum(rest @ rest - moments.explained(self._columns @ rest), FLOOR)
        return left


class _Moments(NamedTuple):
    """Squares of the columns of curves, the last axis, after others were taken out, and cross products of both columns
    of each wave; infinite where what is left is rounding."""

    norms: Floats
    cross: Floats
    determinant: Floats
    alone: int

    @classmethod
    def of(cls, whole: Floats, norms: Floats, cross: Floats, alone: int, count: int) -> "_Moments":
        """Tell from what columns were before where what is left of them is rounding."""
        norms = np.where(norms > INDEPENDENT * whole, norms, np.inf)
        sine, cosine = slice(alone, count), slice(count, None)
        determinant = norms[..., sine] * norms[..., cosine] - np.square(cross)
        least = INDEPENDENT * whole[..., sine] * whole[..., cosine]
        return cls(norms, cross, np.where(determinant > least, determinant, np.inf), alone)

    def of_first(self, first: int) -> "_Moments":
        """Return those of one first curve."""
        return _Moments(self.norms[first], self.cross[first], self.determinant[first], self.alone)

    def explained(self, shares: Floats) -> Floats:
        """Return what each curve explains, from what its columns share with a target."""
        middle = self.alone + self.cross.shape[-1]
        squares, sine, cosine = np.square(shares) / self.norms, shares[..., self.alone : middle], shares[..., middle:]
        both = np.square(sine) * self.norms[..., middle:] + np.square(cosine) * self.norms[..., self.alone : middle]
        both -= 2 * sine * cosine * self.cross
        both /= self.determinant
        one = np.maximum(squares[..., self.alone : middle], squares[..., middle:])
        waves = np.where(np.isfinite(self.determinant), both, one)
        return np.concatenate([squares[..., : self.alone], waves], axis=-1)


def _second_curves(places: Places, operators: OperatorSet, single: bool) -> tuple[Curve, int, Array]:
    """Return the curves, how many of them have one column, and all columns: these, sines, and cosines."""
    index, count = operators.index, len(places.trees)
    rows: list[tuple[int, int, int, float]] = []
    columns = [np.empty((0, places.centred.shape[1]))]
    for number, family in enumerate(FAMILIES if ("exp", 1) in index else ()):
        if number == WAVES or (family.anchored and ("/", 2) not in index):
            continue
        for start in _steepnesses(single, signed=not family.anchored):
            u = places.anchored if family.anchored else places.centred
            columns.append(_scaled(family.values(u, np.full((count, 1), start))[:, 0]))
            rows += [(number, 0, k, start) for k in range(count)]
    alone = len(rows)
    if {("sin", 1), ("cos", 1)} & set(index):
        frequencies = np.arange(FIRST_FREQUENCY, HIGHEST if single else HIGHEST_OF_MANY, STEP)
        phases = np.multiply.outer(frequencies, places.centred).reshape(-1, places.centred.shape[1])
        columns += [np.sin(phases), np.cos(phases)]
        rows += [(WAVES, 0, k, float(frequency)) for frequency in frequencies for k in range(count)]
    return Curve.of(rows), alone, np.concatenate(columns)


def _first_curves(places: Places, factors: Array, operators: OperatorSet, single: bool) -> tuple[Curve, Array]:
    """Return the first curves of products, and their values."""
    rows = [(0, k, -1, 0.0) for k in range(len(factors))]
    if ("exp", 1) in operators.index:
        starts = _steepnesses(single, signed=True)
        some = range(2 if single and len(factors) > 1 else 1)
        rows += [(0, factor, k, start) for factor in some for k in range(len(places.trees)) for start in starts]
    curve = Curve.of(rows[: MOST_FIRST_OF_ONE if single else MOST_FIRST])
    values, inside = factors[curve.factor], np.flatnonzero(curve.place >= 0)
    values[inside] *= EXPONENTIAL.values(places.centred[curve.place[inside]], curve.theta[inside, None])[:, 0]
    return curve, _scaled(values)


def _steepnesses(single: bool, signed: bool) -> tuple[float, ...]:
    return tuple(sign * size for size in (FINER if single else STEEPNESSES) for sign in ((1, -1) if signed else (1,)))


def _scaled(values: Array) -> Array:
    """Scale to at most 1; zeros for what is not finite."""
    largest = np.abs(values).max(axis=1)
    usable = np.isfinite(largest) & (largest > 0)
    return np.where(usable[:, None], values / np.where(usable, largest, 1.0)[:, None], 0.0)

"""The parts of one round as arrays, and what all targets of the round share.

Owns: `Library`.  Does not own: which parts there are (`parts`), what explains a target (`sums`, `forms`).
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.proposer.joins.parts import Parts
from pysr_neural.proposer.joins.sums import Floats, Frame
from pysr_neural.proposer.joins.writing import NEGLIGIBLE

NARROW = 0.1
"""Where a variable's range is smaller than this share of its values, or it is the only one, parts are nearly alike:
double precision."""
NESTED_PARTS, NESTED_FIRSTS = 1000, 100
"""Most parts, and most first parts, below a factor that is already split off."""


class Moments(NamedTuple):
    """What the products of some factors with all parts have in common, whatever the target.

    Parameters
    ----------
    factors : array, shape (firsts, rows)
        None above 1.
    squares : array, shape (firsts,)
        Of the factors, summed.
    shared : array, shape (firsts, parts)
        Scalar product of each product with its factor.
    free : array, shape (firsts, parts)
        Square of each product that its factor does not explain; infinite where that is rounding.
    """

    factors: Array
    squares: Array
    shared: Floats
    free: Floats


class Logarithms(NamedTuple):
    """The parts that have a logarithm everywhere.

    Parameters
    ----------
    usable : array of int
        Their numbers.
    frame : Frame
        Of the logarithms of their absolute values.
    negative : frozenset of Node
        First parts below zero everywhere.
    """

    usable: npt.NDArray[np.int64]
    frame: Frame
    negative: frozenset[Node]


class Library:
    """Some parts on the rows that screening looks at.

    Parameters
    ----------
    parts : Parts
    kept : array of int
        Which of them, the most important first.
    firsts : int
        How many of these are joined with each other one.
    rows : slice
        For screening.
    size_price : float
        See `sums.SIZE_PRICE`.
    """

    def __init__(self, parts: Parts, kept: npt.NDArray[np.int64], firsts: int, rows: slice, size_price: float) -> None:
        self.parts, self.kept, self.rows = parts, kept, rows
        self.firsts = np.arange(min(firsts, len(kept)))
        self.values = parts.values[kept]
        self.sizes = parts.sizes[kept]
        self.screened = self.values[:, rows]
        self.size_price = size_price
        columns = parts.columns[:, rows]
        spread = np.ptp(columns, axis=1) < NARROW * np.abs(columns).max(axis=1)
        self.dtype: type = np.float64 if spread.any() or len(columns) == 1 else np.float32
        self.scaled = self.screened / np.abs(self.screened).max(axis=1)[:, None]
        self.light: Floats = self.scaled.astype(self.dtype)
        self.base = self.frame(None)

    def __len__(self) -> int:
        return len(self.kept)

    def tree(self, part: int) -> Node:
        """Return a part's expression."""
        return self.parts.tree(int(self.kept[part]))

    def frame(self, weights: Array | None) -> Frame:
        """Weigh the parts; a target's own weights reach fewer of them."""
        if weights is None:
            return Frame(self.screened, self.light, self.sizes, self.firsts, None, self.dtype, self.size_price)
        few = slice(0, NESTED_PARTS)
        firsts = self.firsts[:NESTED_FIRSTS]
        weights = weights[self.rows]
        return Frame(self.screened[few], self.light[few], self.sizes[few], firsts, weights, self.dtype, self.size_price)

    @cached_property
    def inverse(self) -> Array:
        """Reciprocals of the first parts, none above 1; zeros where one is not finite."""
        inverse = 1 / self.scaled[self.firsts]
        largest = np.abs(inverse).max(axis=1)
        usable = np.isfinite(largest) & (largest > 0)
        return np.where(usable[:, None], inverse / largest[:, None], 0.0)

    def factors(self, name: str) -> Array:
        """Return the first parts as factors, or as divisors."""
        return self.scaled[self.firsts] if name == "*" else self.inverse

    @cached_property
    def logarithms(self) -> Logarithms | None:
        """For products of powers; None where fewer than two parts have any."""
        logs = np.log(np.abs(self.screened))
        usable = np.flatnonzero(self.values.all(axis=1) & (np.ptp(logs, axis=1) > NEGLIGIBLE))
        if len(usable) < 2:
            return None
        screened = logs[usable]
        firsts = np.flatnonzero(usable < len(self.firsts))
        if not len(firsts):
            firsts = np.arange(1)
        scaled = (screened / np.abs(screened).max(axis=1)[:, None]).astype(self.dtype)
        frame = Frame(screened, scaled, self.sizes[usable], firsts, None, self.dtype, self.size_price)
        negative = frozenset(self.tree(int(i)) for i in usable[: len(firsts)] if (self.values[i] < 0).all())
        return Logarithms(usable, frame, negative)

    @cached_property
    def squares(self) -> Floats:
        """Of the units."""
        return np.square(self.base.units)

    @cached_property
    def multiplied(self) -> Moments:
        """For ``f (a g + c)``."""
        return self.moments(self.factors("*"), len(self))

    @cached_property
    def divided(self) -> Moments:
        """For ``(a g + c) / f``."""
        return self.moments(self.factors("/"), len(self))

    def moments(self, factors: Array, most: int) -> Moments:
        """Work out the moments of factors with the first so many parts."""
        squared: Floats = np.square(factors).astype(self.dtype)
        squares = np.square(factors).sum(axis=1)
        shared = squared @ self.base.units[:most].T
        whole = squared @ self.squares[:most].T
        free = whole - np.square(shared) / np.maximum(squares, 1e-300)[:, None].astype(self.dtype)
        free[~(free > self.base.independent * whole)] = np.inf
        return Moments(factors, squares, shared, free)

    @cached_property
    def products(self) -> dict[str, Floats]:
        """Variance of each product or quotient ``f g``, times rows; infinite where that is rounding."""
        found = {}
        for name in "*/":
            factors: Floats = self.factors(name).astype(self.dtype)
            rows = factors.shape[1]
            means = factors @ self.light.T / rows
            free = np.square(factors) @ np.square(self.light).T / rows - np.square(means)
            free[~(free > self.base.independent * np.square(means))] = np.inf
            found[name] = free * rows
        return found

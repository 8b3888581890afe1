"""Sums by what shorter sums leave: orthogonal matching, two terms at a time, in double precision.

Owns: `matched`.  Does not own: sums by beam search (`sums`), the fit of all coefficients (`forms`).

Beside large terms small ones are lost to the beam: in single precision what a good sum leaves is rounding, and of each
pair one part has to be among the first ones, which are first because they are short.  Here everything is taken without
what a sum explains already, and the first ones are those that explain most of the rest; products of two parts are terms
as well.  Only parts without fitted constants take part: sums of such are near misses, which stand in the way of the
terms that they are made of.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.node import Node, apply
from pysr_neural.operators import Array
from pysr_neural.proposer.joins.library import Library
from pysr_neural.proposer.joins.splits import Target
from pysr_neural.proposer.joins.sums import smallest

FIRSTS = 120
"""Terms that explain most of a rest, of which pairs with all others are tried."""
FACTORS = 100
"""Parts, the shortest ones, that are multiplied with every part."""
LONGER = 4
"""Sums that are gone on from, beside the empty one."""
ROUNDING, INDEPENDENT = 1e-12, 1e-9
"""Share of a target that is rounding; least share of a term that others must leave."""

Sum = tuple[float, list[int]]
"""What it leaves of a target's variance; its terms."""


class Matching:
    """One target beside the terms that may explain it: parts, and products of two.

    Parameters
    ----------
    library : Library
    target : Target
    kept : array of int
        Which parts take part.
    """

    def __init__(self, library: Library, target: Target, kept: npt.NDArray[np.int64]) -> None:
        self._library, self._kept = library, kept
        self._weights = target.weight_of_rows[library.rows]
        self._whole = target.values[library.rows] * self._weights
        self._raw: Array = library.scaled[self._kept]
        self._terms: Array = self._raw * self._weights
        self._squares = np.einsum("ij,ij->i", self._terms, self._terms)
        self._prices = library.base.prices[self._kept].astype(np.float64)
        self._products: list[tuple[int, int]] = []
        start = self._whole - self._explained(self._whole, self._basis([]))
        self._variance = float(start @ start)

    def longer(self, terms: list[int]) -> list[Sum]:
        """Return sums of these and one, or two, further terms: the best of each sort."""
        basis = self._basis(terms)
        rest = self._without(self._whole, basis)
        left = float(rest @ rest)
        if not left > ROUNDING**2 * float(self._whole @ self._whole) or not len(self._kept):
            return []
        unit, share = rest / np.sqrt(left), left / self._variance
        product, unexplained = self._multiplied(unit, basis)
        units = self._without(self._terms, basis)
        free = np.einsum("ij,ij->i", units, units)
        usable = free > INDEPENDENT * self._squares
        units *= np.where(usable, 1 / np.sqrt(np.where(usable, free, 1.0)), 0.0)[:, None]
        along = units @ unit
        alone = np.maximum(1 - np.square(along), ROUNDING)
        firsts = smallest(alone * self._prices, FIRSTS)
        pair, both = self._pair(units, along, firsts)
        found = [(unexplained, [*terms, product])] if product is not None else []
        found += [(float(alone[firsts[0]]), [*terms, int(firsts[0])]), (both, [*terms, *pair])]
        return [(share * left, more) for left, more in found]

    def price(self, found: Sum) -> float:
        """Return what a sum leaves times what its nodes cost."""
        left, terms = found
        return max(left, ROUNDING) * float(np.prod(self._prices[terms]))

    def tree(self, term: int) -> Node:
        """Return a term's expression."""
        if term < len(self._kept):
            return self._library.tree(int(self._kept[term]))
        return apply("*", *[self.tree(part) for part in self._products[term - len(self._kept)]])

    def values(self, term: int) -> Array:
        """Return a term's values on all rows."""
        if term < len(self._kept):
            own: Array = self._library.values[self._kept[term]]
            return own
        first, second = self._products[term - len(self._kept)]
        return self.values(first) * self.values(second)

    def _pair(self, units: Array, along: Array, firsts: npt.NDArray[np.int64]) -> tuple[list[int], float]:
        shared = units[firsts] @ units.T
        apart = 1 - np.square(shared)
        apart[apart <= INDEPENDENT] = np.inf
        shared *= along
        together = np.square(along[firsts])[:, None] + np.square(along) - 2 * along[firsts][:, None] * shared
        left = np.maximum(1 - together / apart, ROUNDING)
        second = (left * self._prices).argmin(axis=1)
        best = left[np.arange(len(firsts)), second]
        first = int((best * self._prices[second] * self._prices[firsts]).argmin())
        return [int(firsts[first]), int(second[first])], float(best[first])

    def _multiplied(self, unit: Array, basis: Array) -> tuple[int | None, float]:
        """Find the product of two parts that explains most, and make it a term."""
        parts = self._raw[: len(self._kept)]
        factors = parts[:FACTORS] * self._weights
        along = (factors * unit) @ parts.T
        whole = np.square(factors) @ np.square(parts).T
        free = whole.copy()
        for each in basis.T:
            free -= np.square((factors * each) @ parts.T)
        free[free <= INDEPENDENT**0.5 * whole] = np.inf
        left = np.maximum(1 - np.square(along) / free, ROUNDING)
        prices = self._prices[: len(parts)]
        first, second = divmod(int((left * prices * prices[: len(factors), None]).argmin()), len(parts))
        if not np.isfinite(free[first, second]):
            return None, 1.0
        pair = (first, second)
        if pair not in self._products:
            self._products.append(pair)
            column = parts[first] * parts[second]
            self._raw = np.vstack([self._raw, column])
            self._terms = np.vstack([self._terms, column * self._weights])
            self._squares = np.append(self._squares, np.square(self._terms[-1]).sum())
            price = prices[first] * prices[second] * np.exp(self._library.size_price)
            self._prices = np.append(self._prices, price)
        return len(parts) + self._products.index(pair), float(left[first, second])

    def _basis(self, terms: list[int]) -> Array:
        """Return orthonormal columns that span a constant and some terms."""
        taken = np.vstack([self._weights, self._terms[terms]])
        return np.linalg.qr((taken / np.abs(taken).max(axis=1)[:, None]).T)[0]

    def _explained(self, values: Array, basis: Array) -> Array:
        return (values @ basis) @ basis.T

    def _without(self, values: Array, basis: Array) -> Array:
        """Take away what is explained, twice, so that rounding is taken away as well."""
        for _ in range(2):
            values = values - self._explained(values, basis)
        return values


def matched(matching: Matching, most_terms: int) -> Iterator[Sum]:
    """Yield sums that explain a target, each found by what a shorter one leaves."""
    waiting = matching.longer([])
    yield from waiting
    for _ in range(LONGER):
        if not waiting:
            return
        waiting.sort(key=matching.price)
        for found in matching.longer(waiting.pop(0)[1]):
            if len(found[1]) <= most_terms:
                yield found
                waiting.append(found)

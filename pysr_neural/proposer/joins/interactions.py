"""A product of two parts beside the variables themselves: ``a f g + b x0 + … + c``, as of what interferes.

Owns: `Interactions`.  Does not own: products alone (`forms`), parts beside polynomials (`beside`).

A product that is longer than any part of the library is found where it stands alone; beside terms that explain most of
a target it is not.  So the variables are taken out of the target and of all products first.
"""

from collections.abc import Iterator

import numpy as np

from pysr_neural.expression.node import Node, apply, variable
from pysr_neural.proposer.joins.forms import whole_sum
from pysr_neural.proposer.joins.library import Library
from pysr_neural.proposer.joins.splits import Target
from pysr_neural.proposer.joins.sums import Floats, smallest

FIRSTS, PARTS = 100, 1000
"""First and second factors."""
INTERACTING = range(2, 7)
"""Numbers of variables for which they are looked for."""
PER_TARGET = 3


class Interactions:
    """Products of a library's parts beside the variables.

    Parameters
    ----------
    library : Library
    minus : bool
        Whether the search has subtraction.
    """

    def __init__(self, library: Library, minus: bool) -> None:
        self._library, self._minus = library, minus
        self._columns = library.parts.columns
        some = self._columns[:, library.rows]
        some = some / np.maximum(np.abs(some).max(axis=1), 1e-300)[:, None]
        self._levels = np.linalg.qr(np.vstack([np.ones(some.shape[1]), some]).T)[0].T
        self._first: Floats = library.light[library.firsts[:FIRSTS]]
        self._second: Floats = library.light[:PARTS]
        whole = np.square(self._first) @ np.square(self._second).T
        free = whole.copy()
        for level in self._levels.astype(library.dtype):
            free -= np.square((self._first * level) @ self._second.T)
        free[~(free > library.base.independent * whole)] = np.inf
        self._free = free

    def found(self, target: Target) -> Iterator[Node]:
        """Yield the best such sums for a target without weights, as whole answers."""
        library = self._library
        v = target.values[library.rows]
        v = v - (v @ self._levels.T) @ self._levels
        square = float(v @ v)
        if not (np.isfinite(square) and square > 0):
            return
        unit = (v / np.sqrt(square)).astype(library.dtype)
        left = 1 - np.square((self._first * unit) @ self._second.T) / self._free
        np.maximum(left, library.base.floor, out=left)
        left *= library.base.prices[: left.shape[1]]
        partners = left.argmin(axis=1)
        costs = left[np.arange(len(left)), partners] * library.base.prices[: len(left)]
        for i in smallest(costs, PER_TARGET).tolist():
            tree = self._whole(target, i, int(partners[i]))
            if tree is not None:
                yield tree

    def _whole(self, target: Target, i: int, j: int) -> Node | None:
        library = self._library
        product = apply("*", library.tree(i), library.tree(j))
        trees = [product, *map(variable, range(len(self._columns)))]
        return whole_sum(target, np.vstack([library.values[i] * library.values[j], self._columns]), trees, self._minus)

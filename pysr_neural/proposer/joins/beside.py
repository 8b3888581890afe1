"""A few parts beside a polynomial: what is exact only with all terms at once.

Owns: `Beside`.  Does not own: polynomials (`polynomials`), sums of parts alone (`sums`).

A sum of powers and of functions whose series begin alike, such as x + x² + x³ + sin x, has no term that stands out: the
best few parts are others.  So all monomials of low degree are taken out of the target and of the parts first.
"""

from collections.abc import Sequence

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.proposer.joins.library import Library
from pysr_neural.proposer.joins.polynomials import Monomial, polynomial
from pysr_neural.proposer.joins.splits import Target
from pysr_neural.proposer.joins.sums import Frame, sums
from pysr_neural.proposer.joins.writing import sum_of

DEGREE, MOST_MONOMIALS = 3, 20
MOST_PARTS, WIDTH, GIVEN = 2, 16, 2
EXACT = 1e-11
"""Share of what the polynomial leaves that the parts may leave: they explain all, or they are of no use."""


class Beside:
    """Polynomials with one or two of a library's parts.

    Parameters
    ----------
    library : Library
    terms : sequence of Monomial
    values : array, shape (terms, rows)
    minus : bool
        Whether the search has subtraction.
    """

    def __init__(self, library: Library, terms: Sequence[Monomial], values: Array, minus: bool) -> None:
        kept = [k for k, term in enumerate(terms) if len(term) <= DEGREE][:MOST_MONOMIALS]
        self._library, self._minus = library, minus
        self._terms, self._values = [terms[k] for k in kept], values[kept]
        some = self._values[:, library.rows]
        some = some / np.abs(some).max(axis=1)[:, None]
        levels, _ = np.linalg.qr(np.vstack([np.ones(some.shape[1]), *some]).T)
        self._frame = Frame(
            library.screened,
            library.scaled,
            library.sizes,
            library.firsts,
            None,
            np.float64,
            library.size_price,
            levels.T,
        )

    def found(self, target: Target) -> Node | None:
        """Return the answer, if a target without weights is such a sum but for rounding."""
        v = self._frame.target(target.values[self._library.rows])
        if v is None:
            return None
        for left, parts in sums(self._frame, v, WIDTH, MOST_PARTS, GIVEN, 0):
            tree = self._whole(target, parts) if left < EXACT else None
            if tree is not None:
                return tree
        return None

    def _whole(self, target: Target, parts: list[int]) -> Node | None:
        columns = np.vstack([self._library.values[parts], self._values, np.ones_like(target.values)])
        scale = np.abs(columns).max(axis=1)
        factors = np.linalg.lstsq((columns / scale[:, None]).T, target.values, rcond=1e-15)[0] / scale
        pairs = [(float(f), self._library.tree(part)) for f, part in zip(factors, parts, strict=False)]
        rest = target.values - factors[: len(parts)] @ columns[: len(parts)]
        if not np.isfinite(rest).all():
            return None
        spread = float(np.ptp(target.values))

        def wrap(part: Node) -> Node:
            return target.wrap(sum_of([(1.0, part), *pairs], 0.0, spread, self._minus))

        return polynomial(target._replace(values=rest, wrap=wrap), self._terms, self._values, self._minus)

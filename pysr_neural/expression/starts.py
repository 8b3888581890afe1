"""Other starts for the parameters of a fit whose first descent did not settle.

Owns: what parameters are tried, and which of them are worth a descent.  Does not own: descents (`projection`).

Coefficients are tried relative to what they multiply and to what they are added to, over some decades and with both
signs; exponents among the usual ones.  All sets are evaluated at once, on some of the rows, their linear coefficients
eliminated; then the best are changed one parameter at a time.
"""

from __future__ import annotations

import numpy as np

from pysr_neural.expression.projection import Projection
from pysr_neural.operators import Array

ROWS = 48
"""About as many rows are looked at."""
SETS = 192
"""Most sets drawn at first."""
EXPONENTS = (2.0, 2.0, 2.0, 3.0, 2.0, 1.0, 0.5, -1.0, -2.0, 4.0, 3.0, 1.5, -0.5, 5.0, 1 / 3, -3.0)
ROUND = (1.0, 0.5, 2.0, -1.0, -0.5, -2.0)
"""Coefficients that are tried as they are, one time in four."""
DECADES = (-2.5, 1.5)
_GOLDEN = 0.6180339887498949


def _draws(count: int, parameters: int) -> Array:
    """Return points of an additive recurrence that fills the unit cube evenly, shape (count, parameters)."""
    base = 1.0
    for _ in range(30):
        base = (1.0 + base) ** (1.0 / (parameters + 1.0))
    steps = base ** -np.arange(1.0, parameters + 1.0)
    return np.mod(0.5 + np.arange(1.0, count + 1.0)[:, None] * steps, 1.0)


class Starts:
    """Sets of parameters on some rows.

    Parameters
    ----------
    projection : Projection
        On all rows; its count of evaluations goes up by the share of rows looked at.
    """

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        step = max(len(projection.y) // ROWS, 1)
        rows = slice(None, None, step)
        self.part = Projection(projection.tape.on(rows), projection.form, projection.y[rows])
        self.share = len(self.part.y) / len(projection.y)
        self.exponents = np.array([core == -1 for core, _ in projection.tape.origins])

    def best(self, most: int, count: int) -> list[Array]:
        """Return the most promising sets, the best first.

        Parameters
        ----------
        most : int
            Bound on the projection's ``spent``.
        count : int
            How many to return.
        """
        parameters = len(self.exponents)
        sets = min(SETS, 48 * parameters, int((most - self.projection.spent) / (2 * self.share)))
        if sets < 8:
            return []
        thetas, relative, losses = self._evaluated(self._first(sets))
        chosen = np.argsort(losses, kind="stable")[: 2 * count]
        thetas, relative, losses = thetas[chosen], relative[chosen], losses[chosen]
        if parameters > 1 or self.exponents.any():
            for _ in range(1 + parameters):
                changed = self._changes(relative[0])
                if (most - self.projection.spent) < 2 * len(changed) * self.share:
                    break
                more = self._evaluated(changed)
                lowest = losses[0]
                thetas, relative, losses = (np.concatenate(pair) for pair in zip((thetas, relative, losses), more))
                chosen = np.argsort(losses, kind="stable")[: 2 * count]
                thetas, relative, losses = thetas[chosen], relative[chosen], losses[chosen]
                if not losses[0] < 0.99 * lowest:
                    break
        return [theta for theta, loss in zip(thetas, losses, strict=True) if np.isfinite(loss)][:count]

    def _first(self, count: int) -> Array:
        """Draw sets of relative parameters: exponents as they are, coefficients as logarithms and signs, see `_scaled`."""
        drawn = _draws(count, len(self.exponents))
        powers = np.array(EXPONENTS)[(drawn * len(EXPONENTS)).astype(int)]
        same = np.arange(count) % 3 == 0
        powers[same] = np.array(EXPONENTS)[(np.arange(count) // 3 % len(EXPONENTS))[same]][:, None]
        low, high = DECADES
        halves = np.mod(2 * drawn, 1.0)
        sizes = np.where(drawn < 0.5, 1.0, -1.0) * 10 ** (low + (high - low) * halves)
        return np.where(self.exponents, powers, sizes)

    def _changes(self, relative: Array) -> Array:
        """Return a set with one parameter changed, in all ways."""
        changed = []
        for place, exponent in enumerate(self.exponents):
            current = relative[place]
            values = (
                sorted(set(EXPONENTS) | {current + 1, current - 1})
                if exponent
                else [
                    current * factor for factor in (0.01, 0.1, 0.3, 0.6, 0.8, 1.25, 1.6, 3.0, 10.0, -1.0, -0.1, -10.0)
                ]
            )
            for value in values:
                row = relative.copy()
                row[place] = value
                changed.append(row)
        return np.array(changed)

    def _evaluated(self, relative: Array) -> tuple[Array, Array, Array]:
        thetas = self.part.tape.run_relative(relative)
        self.projection.spent += max(round(len(relative) * self.share), 1)
        return thetas, relative, self.part.losses(len(relative))

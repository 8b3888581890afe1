"""Other starts for the parameters of a fit whose first descent did not settle.

Owns: what parameters are tried, and which of them are worth a descent.  Does not own: descents (`descent`).

Coefficients are tried relative to what they multiply and to what they are added to, over some decades and with both
signs; exponents among the usual ones.  All sets are evaluated at once, on some of the rows, their linear coefficients
eliminated; then the best are changed one parameter at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from math import isfinite

import numpy as np

from pysr_neural.expression.projection import Projection
from pysr_neural.operators import Array

ROWS = 26
"""Most rows that are looked at."""
WORTH = 1.0
"""Largest sum of squares of a set that is followed, as a share of that of the fit so far."""
ROUNDS = 2
"""Most rounds of changes."""
KEPT = 2
"""Sets that are kept from round to round."""
SETS = (160, 80, 96)
"""Sets drawn at first: for one parameter, for two, for more."""
EXPONENTS = (2.0, 2.0, 2.0, 3.0, 2.0, 1.0, 0.5, -1.0, -2.0, 4.0, 3.0, 1.5, -0.5, 5.0, 1 / 3, -3.0)
POWERS = tuple(sorted(set(EXPONENTS)))
FACTORS = (0.01, 0.1, 0.3, 0.6, 0.8, 1.25, 1.6, 3.0, 10.0, -1.0, -0.1, -10.0)
"""By which a coefficient is changed."""
DECADES = (-2.5, 1.5)


def promising(projection: Projection, square: float, enough: float, most: float) -> Iterator[Array]:
    """Give promising sets of parameters: the best drawn, the best after changes, and what came second.

    Parameters
    ----------
    projection : Projection
        Its count of evaluations goes up by the share of rows looked at.
    square : float
        Sum of squares reached so far; sets that are well above it are not worth a descent.
    enough : float
        Sum of squares at which no better set is looked for, as a share of the target's spread.
    most : float
        Bound on the projection's ``spent``.
    """
    screen = _Screen(projection)
    count = len(screen.exponents)
    found = _lowest(screen.evaluated(_first(SETS[min(count, len(SETS)) - 1], tuple(screen.exponents.tolist()))), KEPT)
    worth = WORTH * square * screen.share
    if isfinite(found[-1][0]) and found[-1][0] <= worth:
        yield found[0][0]
    if found[-1][0] <= enough * screen.part.target.spread:
        return
    given = found[0][0]
    for _ in range(min(1 + count, ROUNDS)):
        lowest = found[-1][0]
        more = screen.evaluated(screen.changes(found[1][0]))
        found = _lowest([np.concatenate(pair) for pair in zip(found, more, strict=True)], KEPT)
        if not found[-1][0] < 0.99 * lowest or projection.spent >= most:
            break
    for theta, loss in zip(found[0], found[-1], strict=True):
        if isfinite(loss) and loss <= worth and theta is not given and (theta != given).any():
            yield theta


class _Screen:
    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        count = len(projection.target.y)
        self.part = projection.on(np.arange(ROWS) * count // ROWS if count > ROWS else slice(None))
        self.share = len(self.part.target.y) / count
        self.exponents = np.array([core == -1 for core, _ in projection.tape.origins])

    def changes(self, relative: Array) -> Array:
        """Return a set with one parameter changed, in all ways."""
        factors, powers = np.array(FACTORS), np.array(POWERS)
        columns = [
            powers if exponent else value * factors
            for value, exponent in zip(relative.tolist(), self.exponents.tolist(), strict=True)
        ]
        changed = np.repeat(relative[None], sum(map(len, columns)), axis=0)
        first = 0
        for place, column in enumerate(columns):
            changed[first : first + len(column), place] = column
            first += len(column)
        return changed

    def evaluated(self, relative: Array) -> list[Array]:
        thetas = self.part.tape.run_relative(relative)
        self.projection.spent += len(relative) * self.share
        return [thetas, relative, self.part.losses(len(relative))]


def _lowest(found: Sequence[Array], count: int) -> list[Array]:
    """Return the sets of lowest loss, losses being the last of the arrays."""
    chosen = np.argsort(found[-1], kind="stable")[:count]
    return [each[chosen] for each in found]


@cache
def _first(count: int, exponents: tuple[bool, ...]) -> Array:
    """Draw sets of relative parameters, see `Tape.run_relative`, by an additive recurrence that fills space evenly."""
    base = 1.0
    for _ in range(30):
        base = (1.0 + base) ** (1.0 / (len(exponents) + 1.0))
    places = np.arange(1.0, count + 1.0)
    drawn = np.mod(0.5 + places[:, None] * base ** -np.arange(1.0, len(exponents) + 1.0), 1.0)
    powers = np.array(EXPONENTS)[(drawn * len(EXPONENTS)).astype(int)]
    same = places % 3 == 1  # All exponents alike, one time in three.
    powers[same] = np.array(EXPONENTS)[(places[same] // 3 % len(EXPONENTS)).astype(int)][:, None]
    low, high = DECADES
    sizes = np.where(drawn < 0.5, 1.0, -1.0) * 10 ** (low + (high - low) * np.mod(2 * drawn, 1.0))
    drawn = np.where(exponents, powers, sizes)
    return drawn[np.sort(np.unique(drawn, axis=0, return_index=True)[1])]

"""The descent over parameters that do not enter linearly.

Owns: the Levenberg–Marquardt method.  Does not own: values and derivatives (`projection`), where descents start
(`starts`).

References
----------
D. W. Marquardt, SIAM J. Appl. Math. 11 (1963) 431; the damping's update by H. B. Nielsen, IMM-REP-1999-05.
"""

from math import exp, inf

import numpy as np

from pysr_neural.expression.projection import Fit, Projection
from pysr_neural.operators import Array

INITIAL_DAMPING = 1e-4
GROWTH = 2.0
"""By how much the damping grows after a step that does not help, twice as much after each further one."""
LEAST_SHARE = 0.1
"""By how much the damping shrinks at most after a step that helps."""
REFUSALS = 6
"""Steps in a row that may not help."""
TOLERANCE = 1.5e-8
"""Relative gain, and relative change of every parameter, below which a descent is done."""


def descend(projection: Projection, fit: Fit, most: float, least_gain: float = TOLERANCE) -> Fit:
    """Go down from a point, until little is gained or ``spent`` reaches a limit."""
    fit = projection.at(fit.theta)
    damping, growth = INITIAL_DAMPING, GROWTH
    enough = projection.target.rounding
    while enough < fit.square < inf and projection.spent < most:
        matrix, slope = projection.normal(fit)
        diagonal = [row[i] or 1.0 for i, row in enumerate(matrix)]
        old = fit.theta.tolist()
        for _ in range(REFUSALS):
            if projection.spent >= most:
                return fit
            step = _solve(matrix, diagonal, damping, slope)
            if step is None:
                return fit
            moved = projection.at(_moved(projection, old, step))
            gain = fit.square - moved.square
            if gain > 0:
                break
            if all(abs(change) <= TOLERANCE * abs(value) for change, value in zip(step, old, strict=True)):
                return fit
            damping, growth = damping * growth, growth * 2
        else:
            return fit
        expected = sum([d * (damping * w * d + g) for d, w, g in zip(step, diagonal, slope, strict=True)])
        done = gain <= least_gain * fit.square
        fit = moved
        if done:
            return fit
        quality = min(gain / expected, 1.0) if expected > 0 else 1.0
        damping *= max(LEAST_SHARE, 1 - (2 * quality - 1) ** 3)
        growth = GROWTH
    return fit


def _moved(projection: Projection, theta: list[float], step: list[float]) -> Array:
    """Return parameters after a step: a coefficient of a power changes by a factor, since the exponent does so."""
    moved = [value + change for value, change in zip(theta, step, strict=True)]
    for place in projection.factors:
        if theta[place]:
            moved[place] = theta[place] * exp(max(min(step[place] / theta[place], 5.0), -5.0))
    return np.array(moved)


def _solve(
    curvature: list[list[float]], diagonal: list[float], damping: float, gradient: list[float]
) -> list[float] | None:
    """Solve a small positive definite system with something added to its diagonal; None where it is singular."""
    size, solution = len(gradient), list(gradient)
    upper = [[row[i] + damping * diagonal[i], *row[i + 1 :]] for i, row in enumerate(curvature)]
    for i, row in enumerate(upper):
        pivot = row[0]
        if not pivot > 0:
            return None
        for j in range(1, size - i):
            factor = row[j] / pivot
            if factor:
                below = upper[i + j]
                for k in range(j, size - i):
                    below[k - j] -= factor * row[k]
                solution[i + j] -= factor * solution[i]
    for i in range(size - 1, -1, -1):
        row, value = upper[i], solution[i]
        for j in range(1, size - i):
            value -= row[j] * solution[i + j]
        solution[i] = value / row[0]
    return solution

"""Single steps of a tape that are no operators of the table: logarithms of sizes, powers, numerical derivatives.

Owns: their functions and pullbacks.  Does not own: the order of steps (`tape`), the table's own (`operators`).
"""

from collections.abc import Callable
from math import isfinite

import numpy as np

from pysr_neural.operators import Array

DIFFERENCE = 2.0**-17
"""Relative step of central differences, for operators whose derivative the table does not know."""


def largest(values: Array) -> Array:
    """Return the largest finite size over the last axis."""
    size = np.abs(values)
    found = size.max(axis=-1)
    if not np.isfinite(found).all():
        found = np.where(np.isfinite(size), size, 0.0).max(axis=-1)
    return found


def log_size(base: Array) -> Array:
    """Return the logarithm of a size."""
    return np.log(np.abs(base))


def is_negative(base: Array) -> Array:
    """Tell where a base is negative, as booleans."""
    return base < 0  # type: ignore[return-value]


def positive_power(logs: Array, exponent: Array) -> Array:
    """Return a power of a base without negative values from its logarithm."""
    return np.exp(exponent * logs)


def power(logs: Array, exponent: Array, negative: Array) -> Array:
    """Return a power from its base's logarithm; NaN where the base is negative and the exponent no whole number."""
    size = np.exp(exponent * logs)
    if not np.count_nonzero(negative):
        return size
    if exponent.ndim == 0:
        rest = float(exponent) % 2.0
        if rest == 0:
            return size
        return np.where(negative, -size if rest == 1 else np.nan, size)
    whole = exponent == np.round(exponent)
    sign = np.where(whole, 1.0 - 2.0 * np.mod(exponent, 2.0), np.nan)
    return np.where(negative, sign * size, size)


def log_slope(g: Array, logs: Array, exponent: Array, *rest: Array) -> Array:
    """Pull a factor back to the logarithm of a base."""
    return g * (exponent * rest[-1])


def exponent_slope(g: Array, logs: Array, exponent: Array, *rest: Array) -> Array:
    """Pull a factor back to an exponent; NaN, so that it stays, where a base is negative."""
    slope = rest[-1] * logs
    if len(rest) == 2 and np.count_nonzero(rest[0]):
        return np.full_like(slope, np.nan)
    if not isfinite(slope.dot(slope)):
        slope = np.where(logs == -np.inf, 0.0, slope)
    return g * slope


def differences(function: Callable[..., Array], place: int) -> Callable[..., Array]:
    """Return a function's pullback to one of its arguments by central differences."""

    def pullback(g: Array, *given: Array) -> Array:
        arguments = list(given[:-1])
        at = arguments[place]
        size = DIFFERENCE * np.maximum(np.abs(at), DIFFERENCE)
        arguments[place] = at + size
        above = function(*arguments)
        arguments[place] = at - size
        return g * ((above - function(*arguments)) / (2 * size))

    return pullback

"""Laws of one product of powers: y is another such product times a function of it alone.

Owns: the test of it.  Does not own: the smaller problem, in one variable, that is left (`reductions`, `search`).

Most laws of physics are of this kind, as units demand it: of temperature, frequency and the constants only h f / (k T)
is left.  In logarithms such a law is a linear function of the variables' logarithms plus a function of one direction in
them, and the exponents of that direction are small whole numbers: each is tried.
"""

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.operators import Array

MOST_VARIABLES, WITH_SQUARES = 7, 4
"""Most variables whose directions are tried, and tried with an exponent of 2."""
DEGREE = 6
"""Of the polynomial along a direction."""
LEFT, SURE = 0.05, 1e-3
"""Largest share of what is not linear that a direction may leave unexplained, at all and to be sure."""
LINEAR = 1e-12
"""Share of the variance of y's logarithm below which it is a product of powers, but for rounding."""
ROUND = 0.05
"""How far twice an exponent may be from a whole number."""
RIDGE = 1e-12
"""Added to squares of 1, so that a variable of few values, whose powers depend on each other, is no error."""
ROWS, FEW_ROWS = 300, 100
"""Most rows that are looked at, and those that all directions are tried on first."""
BEST, AT_ONCE = 16, 64
"""Directions that are tried on all rows, and most that are tried together."""


class Similarity(NamedTuple):
    """What y may be: ``prod x_i^(factor_i / 2) * h(prod x_i^group_i)``.

    Parameters
    ----------
    group : tuple of int
        Exponents.
    factor : tuple of int
        Twice the exponents.
    sure : bool
        Whether few that look like it are wrong.
    """

    group: tuple[int, ...]
    factor: tuple[int, ...]
    sure: bool


def similarity(X: Array, y: Array) -> Similarity | None:
    """Find the product of powers that y depends on but for a factor.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)

    Returns
    -------
    Similarity or None
        None where y or a variable has no logarithm, and where no direction explains what is not linear.
    """
    X, y, features = X[:ROWS], y[:ROWS], X.shape[1]
    logs, target = np.log(np.abs(X)), np.log(np.abs(y))
    if not 1 < features <= MOST_VARIABLES or len(y) < 4 * (features + DEGREE):
        return None
    if not (np.isfinite(logs).all() and np.isfinite(target).all() and (np.ptp(logs, axis=0) > 0).all()):
        return None
    linear, rest = _linear(logs, target)
    if not rest @ rest > LINEAR * len(y) * np.var(target):
        return None
    candidates = directions(features)
    if len(candidates) > BEST:
        few, some = logs[:FEW_ROWS], _linear(logs[:FEW_ROWS], target[:FEW_ROWS])
        parts = np.array_split(candidates, -(-len(candidates) // AT_ONCE))
        left = np.concatenate([_left(*some, few @ each.T) for each in parts])
        candidates = candidates[np.argsort(left)[:BEST]]
    left = _left(linear, rest, logs @ candidates.T)
    best = int(np.argmin(left))
    if not left[best] < LEFT:
        return None
    group = candidates[best]
    columns = [np.ones(len(y)), *logs.T, *_powers(logs @ group)]
    slopes = np.linalg.lstsq(np.array(columns).T, target, rcond=None)[0][1 : 1 + features]
    factor = _factor(slopes, group)
    return None if factor is None else Similarity(tuple(group.tolist()), factor, bool(left[best] < SURE))


@cache
def directions(features: int) -> npt.NDArray[np.int64]:
    """Return all exponents -1, 0 and 1 of two variables at least, the first positive, and those with one of 2."""
    found = []
    for signs in itertools.product((0, 1, -1), repeat=features):
        used = [i for i, sign in enumerate(signs) if sign]
        if len(used) < 2 or signs[used[0]] < 0:
            continue
        found.append(signs)
        if features <= WITH_SQUARES:
            found += [tuple(2 * sign if k == i else sign for k, sign in enumerate(signs)) for i in used]
    return np.array(found)


def _powers(along: Array) -> Array:
    """Return the second and higher Legendre polynomials of values scaled to -1 … 1; shape (degrees, …, rows)."""
    low, high = along.min(axis=-1, keepdims=True), along.max(axis=-1, keepdims=True)
    z = (2 * along - low - high) / (high - low)
    terms = [np.ones_like(z), z]
    for k in range(1, DEGREE):
        terms.append(((2 * k + 1) * z * terms[-1] - k * terms[-2]) / (k + 1))
    return np.array(terms[2:])


def _linear(logs: Array, target: Array) -> tuple[Array, Array]:
    """Return an orthonormal basis of linear functions, and what they leave of the target."""
    linear, _ = np.linalg.qr(np.column_stack([np.ones(len(target)), logs]))
    return linear, target - linear @ (linear.T @ target)


def _left(linear: Array, rest: Array, along: Array) -> Array:
    """Return the share of the rest that a polynomial along each direction leaves unexplained; shape (directions,)."""
    terms = _powers(along.T)
    terms -= (terms @ linear) @ linear.T
    terms = np.ascontiguousarray(np.moveaxis(terms, 0, 1))
    norms = np.sqrt(np.einsum("dkr,dkr->dk", terms, terms))
    terms /= np.where(norms > 0, norms, 1)[:, :, None]
    shares = terms @ rest
    products = terms @ terms.transpose(0, 2, 1) + RIDGE * np.eye(len(norms.T))
    explained = np.einsum("dk,dk->d", shares, np.linalg.solve(products, shares[:, :, None])[:, :, 0])
    found: Array = 1 - explained / (rest @ rest)
    return found


def _factor(slopes: Array, group: Array) -> tuple[int, ...] | None:
    """Return twice the exponents of the factor; what the group may take over of it is chosen so that one variable is in
    the group alone."""
    best: tuple[float, tuple[int, ...]] | None = None
    for k in np.flatnonzero(group):
        halves = 2 * (slopes - slopes[k] / group[k] * group)
        whole = np.rint(halves)
        off, size = float(np.abs(halves - whole).max()), float(np.abs(whole).sum())
        if off < ROUND and (best is None or size < best[0]):
            best = size, tuple(int(half) for half in whole)
    return None if best is None else best[1]

"""Which variables y seems to depend on, and in which order they come.

Owns: the test of dependence on single variables, their order by correlation.  Does not own: what is done about those
that do not seem to matter (`search`), tests of how y depends on variables (`reductions`).

Where variables are independent of each other, any function of y and some of them that depends on a further one shows
that y does.  Such functions are what polynomials in the variables found so far leave of y, of its logarithm and of its
ranks; their ranks are correlated with cosines of the ranks of each other variable, and with products of two cosines, so
that outliers and scales make no difference and no shape is assumed.  This is repeated until no further variable is
found.  A wrong verdict costs time only, since the others are looked at later.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from pysr_neural.operators import Array
from pysr_neural.proposer.joins.polynomials import Monomial, values_of

FEWEST_ROWS = 150
"""With fewer, too much that matters is not seen: of three variables on 40 rows one was missed in 3 of 13 laws."""
MOST_ROWS = 512
WAVES, PAIRED = 5, 4
"""Cosines of each variable, and those that products are made of."""
MANY = 20
"""Variables from which on only one cosine of each is part of products."""
CHANCE = 0.7
"""Standard deviations above the largest of all correlations that chance alone may show."""
ROWS_PER_COLUMN = 6
LARGEST_DEGREE = 4


def relevant(X: Array, y: Array) -> list[int]:
    """Return the variables that y seems to depend on, in order; all where there is no telling.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)
        Rows after the first `MOST_ROWS` are not looked at.
    """
    X, y = X[:MOST_ROWS], y[:MOST_ROWS]
    rows, count = X.shape
    if count < 2 or rows < FEWEST_ROWS or not (np.isfinite(X).all() and np.isfinite(y).all()):
        return list(range(count))
    ranks = np.array([_ranks(column) for column in X.T])
    waves = _waves(X.T, ranks)
    found: list[int] = []
    signals = _signals([y])
    freedom = rows
    while True:
        tests = max(1, len(signals)) * count * WAVES * (1 + count / 4)
        bound = (np.sqrt(2 * np.log(tests)) + CHANCE) / np.sqrt(freedom)
        strengths = np.max([np.zeros(count), *(_strengths(waves, each) for each in signals)], axis=0)
        new = [j for j in range(count) if j not in found and strengths[j] > bound]
        found += new
        if not new or len(found) == count:
            return sorted(found) or list(range(count))
        signals = _signals([each for space in _spaces(X, y, ranks, found) for each in _left(*space)])


def by_correlation(X: Array, y: Array) -> list[int]:
    """Return the variables, those whose values or their squares are most correlated with y first."""
    target = y - y.mean()
    strengths = np.zeros(X.shape[1])
    for columns in (X, np.square(X)):
        centred = columns - columns.mean(axis=0)
        shares = np.abs(target @ centred) / np.sqrt(np.square(centred).sum(axis=0))
        strengths = np.maximum(strengths, np.nan_to_num(shares, nan=0.0, posinf=0.0))
    return np.argsort(-strengths, kind="stable").tolist()


def _ranks(values: Array) -> Array:
    """Return the ranks, from -1 to 1, ties in their middle."""
    order = np.argsort(values)
    ordered = values[order]
    if (ordered[1:] > ordered[:-1]).all():
        ranks = np.empty(len(values))
        ranks[order] = np.arange(1, 2 * len(values), 2) / len(values) - 1
        return ranks
    twice = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right")
    return np.asarray(twice / len(values) - 1, dtype=np.float64)


def _waves(columns: Array, ranks: Array) -> Array:
    """Return what signals are correlated with, of norm 1 and mean 0; zeros for a constant.

    Returns
    -------
    array, shape (features, waves, rows)
        First those that products are made of.
    """
    slow = np.cos(np.pi / 2 * np.arange(1, WAVES + 1)[:, None] * (ranks[:, None] + 1))
    fast = np.stack([np.sin(columns), np.cos(columns)], axis=1)
    waves = np.concatenate([slow[:, :2], fast, slow[:, 2:]], axis=1)
    waves -= waves.mean(axis=2, keepdims=True)
    norms = np.sqrt(np.square(waves).sum(axis=2, keepdims=True))
    return np.where(norms > 1e-9, waves / np.where(norms > 1e-9, norms, 1), 0.0)


def _signals(values: list[Array]) -> list[Array]:
    """Return the ranks of some values and of their distances from the middle, of norm 1 and mean 0."""
    found = []
    for each in values:
        for signal in (_ranks(each), _ranks(np.abs(each - np.median(each)))):
            signal = signal - signal.mean()
            norm = float(np.sqrt(signal @ signal))
            if norm > 0:
                found.append(signal / norm)
    return found


def _strengths(waves: Array, signal: Array) -> Array:
    """Return for each variable the largest correlation of a signal with what it is part of."""
    alone = np.abs(waves @ signal).max(axis=1)
    count, rows = len(waves), len(signal)
    paired = PAIRED if count <= MANY else 1
    some = waves[:, :paired].reshape(-1, rows)
    # Of independent columns of norm 1 and mean 0 a product has norm 1 / sqrt(rows).
    pairs = np.abs((some * signal) @ some.T).reshape(count, paired, count, paired).max(axis=(1, 3)) * np.sqrt(rows)
    np.fill_diagonal(pairs, 0)
    return np.asarray(np.maximum(alone, pairs.max(axis=1)), dtype=np.float64)


def _spaces(X: Array, y: Array, ranks: Array, found: list[int]) -> Iterator[tuple[Array, list[Array]]]:
    """Yield columns of the variables found, and what is to be explained by polynomials in them."""
    columns = X.T[found]
    logs = [np.log(np.abs(y))] if y.all() else []
    yield columns, [y, *logs]
    yield ranks[found], [_ranks(y)]
    if logs and columns.all():
        yield np.log(np.abs(columns)), logs


def _left(columns: Array, targets: list[Array]) -> Array:
    """Return what a polynomial of as high a degree as the rows allow leaves of each target."""
    columns = columns - columns.mean(axis=1)[:, None]
    columns = columns / np.maximum(np.abs(columns).max(axis=1), 1e-300)[:, None]
    count, rows = columns.shape
    terms: list[Monomial] = []
    for degree in range(1, LARGEST_DEGREE + 1):
        if math.comb(count + degree, degree) > rows // ROWS_PER_COLUMN:
            break
        terms += itertools.combinations_with_replacement(range(count), degree)
    design = np.vstack([np.ones(rows), *values_of(terms, columns)])
    q, _ = np.linalg.qr(design.T)
    y = np.array(targets)
    return np.asarray(y - (y @ q) @ q.T, dtype=np.float64)

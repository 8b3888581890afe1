"""The shape of what an expression leaves unexplained, in one word.

Owns: `residual_shape`.  Does not own: search states (`states`).

Each word is a model of the residual, tried from the simplest on by ordinary least squares; the first that explains
`EXPLAINED` of the residual's mean square names it.  What none explains is ``"noisy"`` if it changes from a point to its
nearest neighbour as much as between any two points (von Neumann's ratio), else ``"other"``.
"""

import numpy as np

from pysr_neural.operators import Array

SHAPES = ("none", "constant", "linear", "quadratic", "periodic", "other", "noisy", "undefined")
EXPLAINED = 0.9
NEGLIGIBLE = 1e-9
"""Share of the variance of y below which nothing is left."""
NOISY_RATIO = 0.7
"""Mean squared difference between neighbours over twice the variance: near 0 where smooth, near 1 for noise."""
MAX_PERIODS = 8.0
LEAST_PERIODS = 1.5
"""A wave of fewer periods within the data cannot be told from a polynomial."""
FREQUENCIES = 60
POINTS_PER_TERM = 4
"""A model is tried only on so many points per coefficient: with fewer it explains noise as well."""


def residual_shape(X: Array, y: Array, prediction: Array) -> str:
    """Name the shape of ``y - prediction``.

    Parameters
    ----------
    X : array, shape (rows, features)
    y, prediction : array, shape (rows,)

    Returns
    -------
    str
        One of `SHAPES`; ``"undefined"`` where the prediction, or its mean squared error, is not finite.
    """
    if not np.all(np.isfinite(prediction)):
        return "undefined"
    residual = y - prediction
    with np.errstate(over="ignore"):
        power, variance = float(np.mean(residual**2)), float(np.var(y))
    if not np.isfinite(power):
        return "undefined"
    if power <= NEGLIGIBLE * variance or power == 0:
        return "none"
    residual = residual / np.sqrt(power)
    columns = _standardized(X)
    ones = np.ones((len(y), 1))
    linear = np.hstack([ones, columns])
    products = [columns[:, i] * columns[:, j] for i in range(columns.shape[1]) for j in range(i, columns.shape[1])]
    for name, terms in (
        ("constant", ones),
        ("linear", linear),
        ("quadratic", np.column_stack([linear, *products])),
    ):
        if _explains(terms, residual):
            return name
    if any(_is_wave(column, residual) for column in columns.T):
        return "periodic"
    return "noisy" if _neighbour_ratio(columns, residual) >= NOISY_RATIO else "other"


def _standardized(X: Array) -> Array:
    """Centre and scale the columns; one that does not vary becomes zero."""
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _explains(terms: Array, residual: Array) -> bool:
    """Tell whether a linear model leaves little of a residual of mean square 1."""
    if len(residual) < POINTS_PER_TERM * terms.shape[1]:
        return False
    coefficients, *_ = np.linalg.lstsq(terms, residual, rcond=None)
    return bool(np.mean((residual - terms @ coefficients) ** 2) <= 1 - EXPLAINED)


def _is_wave(x: Array, residual: Array) -> bool:
    """Tell whether a sine of one variable, with any frequency of a grid, explains a residual."""
    width = float(np.ptp(x))
    if width == 0:
        return False
    for periods in np.linspace(LEAST_PERIODS, MAX_PERIODS, FREQUENCIES):
        angle = 2 * np.pi * periods * x / width
        if _explains(np.column_stack([np.ones_like(x), np.sin(angle), np.cos(angle)]), residual):
            return True
    return False


def _neighbour_ratio(columns: Array, residual: Array) -> float:
    """Return the mean squared difference to the nearest neighbour, over twice the variance."""
    variance = float(np.var(residual))
    if variance == 0 or len(residual) < 2:
        return 0.0
    distances = ((columns[:, None, :] - columns[None, :, :]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    return float(np.mean((residual - residual[nearest]) ** 2) / (2 * variance))

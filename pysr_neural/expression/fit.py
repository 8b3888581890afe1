"""Losses of expressions on data, and least-squares refinement of their constants.

Owns: mean squared error, fraction of variance unexplained, `refine`.  Does not own: evaluation (`evaluate`).
"""

from collections.abc import Callable, Mapping
from math import isfinite

import numpy as np

from pysr_neural.expression.evaluate import IEEE, evaluate, parametric
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array

LARGE = 1e150
DIFFERENCE = 2.0**-26
"""Relative step of forward differences."""
INITIAL_DAMPING = 1e-4
TOLERANCE = 1.5e-8
"""Relative gain, and relative change of every parameter, below which a fit is done."""


def mean_squared_error(tree: Node, X: Array, y: Array, functions: Mapping[str, Callable[..., Array]] = IEEE) -> float:
    """Return the mean squared error over all rows; infinite if any prediction is not finite."""
    with np.errstate(all="ignore"):
        loss = float(np.mean(np.square(evaluate(tree, X, functions) - y)))
    return loss if np.isfinite(loss) else float("inf")


def fraction_unexplained(prediction: Array, y: Array) -> float:
    """Return the mean squared error over the variance of y; infinite if a prediction is not finite.

    A constant y is compared with its mean square instead of its variance.
    """
    with np.errstate(all="ignore"):
        scale = float(np.var(y)) or float(np.mean(np.square(y))) or 1.0
        value = float(np.mean(np.square(prediction - y))) / scale
    return value if np.isfinite(value) else float("inf")


def refine(
    tree: Node,
    X: Array,
    y: Array,
    max_evaluations: int = 120,
    functions: Mapping[str, Callable[..., Array]] = IEEE,
) -> tuple[Node, float]:
    """Fit the constants of an expression by least squares, starting at their present values.

    Parameters
    ----------
    tree : Node
    X : array, shape (rows, features)
    y : array, shape (rows,)
    max_evaluations : int
        Bound on the evaluations of the tree, numerical derivatives included.
    functions : mapping, optional
        The meaning of operators, see `evaluate`.

    Returns
    -------
    tree : Node
        The refined tree, or the given one if refinement did not help.
    loss : float
        Mean squared error of the returned tree; infinite where it is not finite on some row.
    """
    start = tree.constants()
    loss = mean_squared_error(tree, X, y, functions)
    if not start or len(start) > len(y):
        return tree, loss
    predicted = parametric(tree, X, functions)

    def residuals(values: Array) -> Array:
        difference = predicted(values) - y
        if isfinite(np.vdot(difference, difference)):
            return difference
        return np.nan_to_num(difference, nan=LARGE, posinf=LARGE, neginf=-LARGE).clip(-LARGE, LARGE)

    with np.errstate(all="ignore"):
        fitted = least_squares(residuals, np.array(start), max_evaluations)
    if not np.all(np.isfinite(fitted)):
        return tree, loss
    candidate = tree.with_constants(fitted.tolist())
    new_loss = mean_squared_error(candidate, X, y, functions)
    return (candidate, new_loss) if new_loss < loss else (tree, loss)


def least_squares(residuals: Callable[[Array], Array], start: Array, max_evaluations: int) -> Array:
    """Minimise a sum of squares by the Levenberg–Marquardt method; the same bits wherever memory lies.

    SciPy's MINPACK gives other last digits when its arrays lie elsewhere, which grow where constants are redundant, as
    in ``c / (x / d)``: the same seed would not give the same search.

    Parameters
    ----------
    residuals : callable
        From parameters, shape (k,), to finite residuals, shape (rows,), and from several sets, shape (sets, k), to
        (sets, rows).
    start : array, shape (k,)
    max_evaluations : int
        Of the residuals, those for forward differences included.

    Returns
    -------
    array, shape (k,)
        The best parameters found.

    References
    ----------
    D. W. Marquardt, SIAM J. Appl. Math. 11 (1963) 431; the damping's update by H. B. Nielsen, IMM-REP-1999-05.
    """
    point, rest = start, residuals(start)
    square, spent, damping, growth = float(rest @ rest), 1, INITIAL_DAMPING, 2.0
    while square > 0 and spent + len(point) < max_evaluations:
        steps = DIFFERENCE * np.where(point == 0, 1.0, np.abs(point))
        jacobian = (residuals(point + np.diag(steps)) - rest) / steps[:, None]
        spent += len(point)
        curvature, gradient = jacobian @ jacobian.T, jacobian @ rest
        diagonal = curvature.diagonal().copy()
        diagonal[diagonal == 0] = 1.0
        while spent < max_evaluations:
            try:
                damped = curvature.copy()
                damped.flat[:: len(point) + 1] += damping * diagonal
                change = np.linalg.solve(damped, -gradient)
            except np.linalg.LinAlgError:
                return point
            moved = point + change
            moved_rest = residuals(moved)
            moved_square, spent = float(moved_rest @ moved_rest), spent + 1
            gain = square - moved_square
            expected = float(change @ (damping * diagonal * change - gradient))
            if gain > 0:
                done = gain <= TOLERANCE * square
                point, rest, square = moved, moved_rest, moved_square
                if done:
                    return point
                quality = min(gain / expected, 1.0) if expected > 0 else 1.0
                damping *= max(1 / 3, 1 - (2 * quality - 1) ** 3)
                growth = 2.0
                break
            if np.all(np.abs(change) <= TOLERANCE * np.abs(point)):
                return point
            damping, growth = damping * growth, growth * 2
    return point

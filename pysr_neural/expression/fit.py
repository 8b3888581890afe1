"""Losses of expressions on data, and least-squares refinement of their constants.

Owns: mean squared error, fraction of variance unexplained, `refine`.  Does not own: evaluation (`evaluate`).
"""

from collections.abc import Callable, Mapping
from math import inf, isfinite

import numpy as np

from pysr_neural.expression.evaluate import IEEE, evaluate
from pysr_neural.expression.node import Node
from pysr_neural.expression.refinement import Refinement
from pysr_neural.operators import Array


def mean_squared_error(tree: Node, X: Array, y: Array, functions: Mapping[str, Callable[..., Array]] = IEEE) -> float:
    """Return the mean squared error over all rows; infinite if any prediction is not finite."""
    with np.errstate(all="ignore"):
        difference = evaluate(tree, X, functions) - y
        loss = float(np.dot(difference, difference)) / len(y)
    return loss if isfinite(loss) else inf


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
    with np.errstate(all="ignore"):
        constants = Refinement(X, y, functions).constants(tree, max_evaluations)
    if constants is None or not np.all(np.isfinite(constants)):
        return tree, loss
    candidate = tree.with_constants(constants)
    new_loss = mean_squared_error(candidate, X, y, functions)
    return (candidate, new_loss) if new_loss < loss else (tree, loss)

"""Losses of expressions on data, and least-squares refinement of their constants.

Owns: mean squared error, fraction of variance unexplained, `refine`.  Does not own: evaluation (`evaluate`), how
constants are found (`refinement`).
"""

from collections.abc import Callable, Iterable, Mapping
from math import frexp, inf, isfinite, ldexp

import numpy as np

from pysr_neural.expression.evaluate import IEEE, evaluate
from pysr_neural.expression.node import Node
from pysr_neural.expression.refinement import FIT_EVALUATIONS, Refinement, mean_square
from pysr_neural.operators import Array


def mean_squared_error(tree: Node, X: Array, y: Array, functions: Mapping[str, Callable[..., Array]] = IEEE) -> float:
    """Return the mean squared error over all rows; infinite if any prediction is not finite.

    It is 0 only if every prediction is exact: squares too small for the range of floats give the smallest number.
    """
    with np.errstate(all="ignore"):
        return mean_square(evaluate(tree, X, functions) - y)


def fraction_unexplained(prediction: Array, y: Array) -> float:
    """Return the mean squared error over the variance of y; infinite if a prediction is not finite.

    A constant y is compared with its mean square instead of its variance.  The unit of y does not matter.
    """
    unit = ldexp(1.0, -max(min(frexp(float(np.abs(y).max(initial=0.0)))[1], 1000), -1000))
    with np.errstate(all="ignore"):
        scaled = y * unit
        scale = float(np.var(scaled)) or float(np.mean(np.square(scaled))) or 1.0
        value = float(np.mean(np.square(prediction * unit - scaled))) / scale
    return value if isfinite(value) else inf


def refine(
    tree: Node,
    X: Array,
    y: Array,
    max_evaluations: int = FIT_EVALUATIONS,
    functions: Mapping[str, Callable[..., Array]] = IEEE,
) -> tuple[Node, float]:
    """Fit the constants of an expression by least squares, starting at their present values.

    Constants that enter linearly are found from any start, and at any magnitude, by linear least squares inside the
    fit of the others.  Where the first descent of those does not settle, others follow from other starts.  The result
    has the same bits wherever the data lie in memory.

    Parameters
    ----------
    tree : Node
    X : array, shape (rows, features)
    y : array, shape (rows,)
    max_evaluations : int
        Bound on the evaluations of the tree, derivatives included, in the search for parameters that do not enter
        linearly; twice as many if it looks at some of the rows.  At most 24 more on all rows end the fit.
    functions : mapping, optional
        The meaning of operators, see `evaluate`.

    Returns
    -------
    tree : Node
        The refined tree, or the given one if refinement did not help.
    loss : float
        Mean squared error of the returned tree; infinite where it is not finite on some row.
    """
    return Refinement(X, y, functions).refined(tree, max_evaluations)


def refine_many(
    trees: Iterable[Node],
    X: Array,
    y: Array,
    max_evaluations: int = FIT_EVALUATIONS,
    functions: Mapping[str, Callable[..., Array]] = IEEE,
) -> list[tuple[Node, float]]:
    """Fit the constants of several expressions to the same data; each result is that of `refine`.

    What they share, such as the values of subtrees without constants, is calculated once.
    """
    refinement = Refinement(X, y, functions)
    return [refinement.refined(tree, max_evaluations) for tree in trees]

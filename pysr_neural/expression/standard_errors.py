"""How well data determine the constants of an expression.

Owns: the Jacobian with respect to all constants, and standard errors by it.  Does not own: fitting them (`fit`).

References
----------
G. A. F. Seber, C. J. Wild, Nonlinear Regression, 1989, section 2.1.
"""

import numpy as np

from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node
from pysr_neural.expression.tape import Tape
from pysr_neural.operators import Array

ALIKE = 1e-10
"""Singular values of the scaled Jacobian below this share of the largest: constants that do not tell apart."""


def jacobian(tree: Node, X: Array) -> Array:
    """Return the derivatives of an expression with respect to its constants, in the order of the tree.

    Parameters
    ----------
    tree : Node
        Of operators of the table.
    X : array, shape (rows, features)

    Returns
    -------
    array, shape (rows, constants)
        May hold values that are not finite.
    """
    with np.errstate(all="ignore"):
        tape = Tape(np.ascontiguousarray(X.T), IEEE)
        result = _slot(tree, tape)
        tape.run(np.array(tape.start))
        columns = tape.pull({result: np.ones(len(X))})
    found = np.zeros((len(X), len(columns)))
    for i, column in enumerate(columns):
        found[:, i] = 0.0 if column is None else column
    return found


def standard_errors(tree: Node, X: Array, residuals: Array) -> list[float]:
    """Return the standard errors of an expression's constants, as least squares gives them near the fit.

    Whole numbers count as part of the form, such as exponents, and have no error.

    Parameters
    ----------
    tree : Node
    X : array, shape (rows, features)
    residuals : array, shape (rows,)
        What the expression leaves of the target at these rows.

    Returns
    -------
    list of float
        One for each constant, in the order of the tree: 0 for whole numbers; infinite where the data do not determine a
        constant, as where others can take its place, or there are no more rows than constants.
    """
    values = [node.value for node in tree if node.value is not None]
    free = [i for i, value in enumerate(values) if value != round(value)]
    errors = np.zeros(len(values))
    if not free:
        return errors.tolist()
    errors[free] = np.inf
    slopes = jacobian(tree, X)[:, free]
    more = len(residuals) - len(free)
    sizes = np.linalg.norm(slopes, axis=0)
    if more > 0 and np.isfinite(slopes).all() and sizes.all():
        _, singular, directions = np.linalg.svd(slopes / sizes, full_matrices=False)
        if singular[-1] > ALIKE * singular[0]:
            spread = np.linalg.norm(directions.T / singular, axis=1)
            errors[free] = np.sqrt(float(np.dot(residuals, residuals)) / more) * spread / sizes
    return errors.tolist()


def _slot(node: Node, tape: Tape) -> int:
    """Put a tree on a tape, every constant a parameter of its own."""
    if node.value is not None:
        return tape.parameter(node.value, -1, -1)
    if all(part.value is None for part in node):
        return tape.known(node)
    return tape.apply(str(node.operator), *[_slot(child, tape) for child in node.children])

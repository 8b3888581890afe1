"""Vectorised evaluation of trees with NumPy.

Owns: values of an expression at points.  Does not own: losses and constant fitting (`expression.fit`).
Non-finite values are results, not exceptions.
"""

from collections.abc import Callable, Mapping

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS, Array

IEEE: Mapping[str, Callable[..., Array]] = {name: row.function for name, row in OPERATORS.items()}
GUARDED: Mapping[str, Callable[..., Array]] = {name: row.guarded for name, row in OPERATORS.items()}


def evaluate(tree: Node, X: Array, functions: Mapping[str, Callable[..., Array]] = IEEE) -> Array:
    """Evaluate an expression at every row of X.

    Parameters
    ----------
    tree : Node
    X : array, shape (rows, features)
    functions : mapping, optional
        Operator name to NumPy function: `IEEE` (default) or `GUARDED` (the reference preset's arithmetic).

    Returns
    -------
    array, shape (rows,)
        May hold NaN and infinities.

    Raises
    ------
    KeyError
        If an operator of the tree is not among the functions.
    IndexError
        If a variable of the tree is not a column of X.
    """
    with np.errstate(all="ignore"):
        values = _evaluate(tree, X.T, functions)
    result = np.empty(X.shape[0])
    result[:] = values
    return result


def _evaluate(node: Node, columns: Array, functions: Mapping[str, Callable[..., Array]]) -> Array:
    if node.index is not None:
        return columns[node.index]  # type: ignore[no-any-return]
    if node.operator is None:
        return np.float64(node.value)  # type: ignore[return-value]
    children = node.children
    if len(children) == 2:  # Written out, since this is the innermost loop of BasicSR and of refinement.
        return functions[node.operator](
            _evaluate(children[0], columns, functions), _evaluate(children[1], columns, functions)
        )
    return functions[node.operator](*[_evaluate(child, columns, functions) for child in children])

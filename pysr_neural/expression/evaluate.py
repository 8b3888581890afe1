"""Vectorised evaluation of trees with NumPy.

Owns: values of an expression at points, and those of many expressions that share subtrees (`Evaluator`).  Does not own:
losses and constant fitting (`expression.fit`).  Non-finite values are results, not exceptions.
"""

from collections.abc import Callable, Mapping

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS, Array

IEEE: Mapping[str, Callable[..., Array]] = {name: row.function for name, row in OPERATORS.items()}
GUARDED: Mapping[str, Callable[..., Array]] = {name: row.guarded for name, row in OPERATORS.items()}

CAPACITY = 1024
CAPACITY_BYTES = 64 * 2**20
"""Most subtrees whose values an `Evaluator` remembers, and most memory for them.  More would find more, and be slower:
they would not fit in the processor's own cache."""

_INTO_ROWS = (np.add, np.subtract, np.multiply, np.divide, OPERATORS["/"].guarded)
"""Functions that an `Evaluator` lets write into its own memory: rounded exactly, they give the same bits wherever."""


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
        values = _evaluate(tree, _columns(X), functions)
    result = np.empty(X.shape[0])
    result[:] = values
    return result


def _columns(X: Array) -> Array:
    """Return the features as contiguous rows, so that an operator's loop is the same one wherever values come from."""
    return np.ascontiguousarray(X.T)


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


class Evaluator:
    """Evaluates many trees on the same points, and no subtree twice while it is remembered.

    Edits share structure, so a child differs from its parents in one path only: that path is evaluated, the rest is
    looked up.  Values are those of `evaluate`, bit for bit.  When memory is full, everything is forgotten.

    Parameters
    ----------
    X : array, shape (rows, features)
    functions : mapping, optional
        As for `evaluate`.
    capacity : int, optional
        Number of subtrees to remember; fewer if their values would take more than `CAPACITY_BYTES`.
    """

    def __init__(
        self, X: Array, functions: Mapping[str, Callable[..., Array]] = IEEE, capacity: int = CAPACITY
    ) -> None:
        self._columns, self._functions = _columns(X), functions
        self._into_rows: dict[str | None, Callable[..., Array]] = {
            name: function for name, function in functions.items() if function in _INTO_ROWS
        }
        self._capacity = min(capacity, CAPACITY_BYTES // (self._columns.itemsize * max(len(X), 1)))
        self._rows = list(np.empty((self._capacity, len(X))))
        self._known: dict[Node, Array] = {}
        self._result = np.empty(len(X))

    def values(self, tree: Node) -> Array:
        """Evaluate a tree, and remember its subtrees but not itself: it is seldom a subtree of another.

        Call it inside ``np.errstate(all="ignore")``: entering that for every tree costs as much as two operators.

        Returns
        -------
        array, shape (rows,)
            Always the same one: the caller may write to it, and the next call does.

        Raises
        ------
        KeyError, IndexError
            As `evaluate`.
        """
        known, result = self._known, self._result
        if len(known) + tree.size > self._capacity:
            known.clear()
            if tree.size > self._capacity:
                result[:] = _evaluate(tree, self._columns, self._functions)
                return result
        function = self._into_rows.get(tree.operator)
        if function is None:
            result[:] = self._subtree(tree)
            return result
        left, right = tree.children
        a = known.get(left)
        if a is None:
            a = self._subtree(left)
        b = known.get(right)
        if b is None:
            b = self._subtree(right)
        return function(a, b, result)

    def _subtree(self, node: Node) -> Array:
        """Evaluate a subtree that is not known; written out, since this is the innermost loop of BasicSR."""
        known = self._known
        function = self._into_rows.get(node.operator)
        if function is not None:
            left, right = node.children
            a = known.get(left)
            if a is None:
                a = self._subtree(left)
            b = known.get(right)
            if b is None:
                b = self._subtree(right)
            values = function(a, b, self._rows[len(known)])
        elif node.operator is not None:
            arguments = []
            for child in node.children:
                argument = known.get(child)
                arguments.append(self._subtree(child) if argument is None else argument)
            values = self._functions[node.operator](*arguments)
        else:
            values = _evaluate(node, self._columns, self._functions)
        known[node] = values
        return values

"""Vectorised evaluation of trees with NumPy.

Owns: values of an expression at points, also of many expressions that share subtrees (`remembering`).  Does not own:
losses and constant fitting (`expression.fit`), derivatives (`expression.tape`).  Non-finite values are results, not
exceptions.
"""

from collections.abc import Callable, Mapping

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS, Array

IEEE: Mapping[str, Callable[..., Array]] = {name: row.function for name, row in OPERATORS.items()}
GUARDED: Mapping[str, Callable[..., Array]] = {name: row.guarded for name, row in OPERATORS.items()}

CAPACITY = 1024
CAPACITY_BYTES = 64 * 2**20
"""Most subtrees whose values `remembering` remembers, and most memory for them.  More would find more, and be slower:
they would not fit in the processor's own cache."""

_EXACTLY_ROUNDED = (np.add, np.subtract, np.multiply, np.divide, OPERATORS["/"].guarded)
"""Functions that `remembering` lets write into its own memory: they give the same bits however NumPy loops."""


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


def evaluate_columns(tree: Node, columns: Array, functions: Mapping[str, Callable[..., Array]]) -> Array:
    """Evaluate an expression as `evaluate` does, on contiguous columns, shape (features, rows).

    Call it inside ``np.errstate(all="ignore")``.  The result may be one of the columns, or a scalar for a constant.
    """
    return _evaluate(tree, columns, functions)


def evaluate_remembering(
    tree: Node, columns: Array, functions: Mapping[str, Callable[..., Array]], memory: dict[Node, Array]
) -> Array:
    """Evaluate an expression as `evaluate_columns` does, looking up and remembering subtrees without constants."""
    if tree.index is not None:
        return columns[tree.index]  # type: ignore[no-any-return]
    if tree.operator is None:
        return np.float64(tree.value)  # type: ignore[return-value]
    found = None if tree.constant_count else memory.get(tree)
    if found is None:
        children = tree.children
        if len(children) == 2:  # Written out, as in `_evaluate`.
            left = evaluate_remembering(children[0], columns, functions, memory)
            found = functions[tree.operator](left, evaluate_remembering(children[1], columns, functions, memory))
        else:
            given = [evaluate_remembering(child, columns, functions, memory) for child in children]
            found = functions[tree.operator](*given)
        if not tree.constant_count:
            memory[tree] = found
    return found


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


def remembering(
    X: Array, functions: Mapping[str, Callable[..., Array]] = IEEE, capacity: int = CAPACITY
) -> Callable[[Node], Array]:
    """Make a function that evaluates trees at the rows of X, and no subtree twice while it is remembered.

    Edits share structure, so a child differs from its parents in one path only: that path is evaluated, the rest is
    looked up.  Values are those of `evaluate`, bit for bit.  When memory is full, everything is forgotten.

    Parameters
    ----------
    X : array, shape (rows, features)
    functions : mapping, optional
        As for `evaluate`.
    capacity : int, optional
        Number of subtrees to remember; fewer if their values would take more than `CAPACITY_BYTES`.

    Returns
    -------
    callable
        From a tree to its values, shape (rows,): always the same array, which the caller may write to, and the next
        call does.  It raises what `evaluate` raises.  Call it inside ``np.errstate(all="ignore")``: entering that for
        every tree would cost as much as two operators.  It remembers the tree's subtrees, but not the tree itself,
        which is seldom a subtree of another.
    """
    # A closure, since its variables are reached faster than attributes; this is the innermost loop of BasicSR.
    columns, result = _columns(X), np.empty(len(X))
    capacity = min(capacity, CAPACITY_BYTES // (columns.itemsize * max(len(X), 1)))
    rows = list(np.empty((capacity, len(X))))
    known: dict[Node, Array] = {}
    look_up = known.get
    into_rows = _exactly_rounded(functions)

    def values(tree: Node) -> Array:
        if len(known) + tree.size > capacity:
            known.clear()
            if tree.size > capacity:
                result[:] = _evaluate(tree, columns, functions)
                return result
        function = into_rows.get(tree.operator)
        if function is None:
            result[:] = subtree(tree)
            return result
        left, right = tree.children
        a = look_up(left)
        if a is None:
            a = subtree(left)
        b = look_up(right)
        if b is None:
            b = subtree(right)
        return function(a, b, result)

    def subtree(node: Node) -> Array:
        """Evaluate a subtree and remember it."""
        function = into_rows.get(node.operator)
        if function is not None:
            left, right = node.children
            a = look_up(left)
            if a is None:
                a = subtree(left)
            b = look_up(right)
            if b is None:
                b = subtree(right)
            found = function(a, b, rows[len(known)])
        elif node.operator is not None:
            arguments = [known[child] if child in known else subtree(child) for child in node.children]
            found = functions[node.operator](*arguments)
        else:
            found = _evaluate(node, columns, functions)
        known[node] = found
        return found

    return values


def _exactly_rounded(functions: Mapping[str, Callable[..., Array]]) -> dict[str | None, Callable[..., Array]]:
    return {name: function for name, function in functions.items() if function in _EXACTLY_ROUNDED}

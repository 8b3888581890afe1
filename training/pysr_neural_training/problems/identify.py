"""Whether an expression can be told from simpler ones.

Owns: `is_redundant` (it says a thing twice), `is_reducible` (a part of it makes no difference to the data).  Does not
own: the prior (`priors`), equality of expressions (`expression.canonical`).
"""

import re
from typing import Any

import numpy as np

from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array

INVISIBLE = 1e-7
CHECKED_ROWS = 32
_POWER = re.compile(r"x\d+(?:\^(-?[\d.]+))?")
_EXPONENT = re.compile(r"\^-?[\d.]+")


def is_redundant(tree: Node, skeleton: str) -> bool:
    """Tell whether an expression uses a variable or a constant more often than its canonical skeleton needs to.

    Parameters
    ----------
    tree : Node
    skeleton : str
        From `expression.canonical.canonical`.
    """
    variables, constants = leaves_of(tree)
    return says_twice(len(variables), constants, skeleton)


def says_twice(variables: int, constants: int, skeleton: str) -> bool:
    """Tell the same of an expression with so many leaves that are variables, and so many that are constants."""
    if constants > skeleton.count("C") + (len(_EXPONENT.findall(skeleton)) if "^" in skeleton else 0):
        return True
    powers = _POWER.findall(skeleton)
    return variables > len(powers) and variables > sum(
        [max(1.0, abs(float(power))) if power else 1.0 for power in powers]
    )


def leaves_of(tree: Node) -> tuple[list[int], int]:
    """Return the variable behind every leaf that is one, and the number of leaves that are constants."""
    variables, constants, waiting = [], 0, [tree]
    while waiting:
        node = waiting.pop()
        if node.children:
            waiting.extend(node.children)
        elif node.index is not None:
            variables.append(node.index)
        else:
            constants += 1
    return variables, constants


def is_reducible(tree: Node, X: Array, y: Array) -> bool:
    """Tell whether a part of an expression makes no difference to the data, so that nobody could find it.

    A part makes no difference if its mean, or one of its arguments alone, in its place leaves a fraction of variance
    unexplained of at most `INVISIBLE`.

    Parameters
    ----------
    tree : Node
    X : array, shape (rows, features)
    y : array, shape (rows,)
        The expression's values.
    """
    columns, y = np.ascontiguousarray(X[:CHECKED_ROWS].T), y[:CHECKED_ROWS]
    offset = y - np.add.reduce(y) / len(y)
    allowed = INVISIBLE * float(offset @ offset or y @ y)
    replaced = np.empty((2 * tree.size, len(y)))
    with np.errstate(all="ignore"):
        _, end = _replace_parts(tree, columns, replaced, 0)
        difference = replaced[:end] - y
        return bool(np.fmin.reduce(np.einsum("ij,ij->i", difference, difference)) <= allowed) if end else False


def _replace_parts(node: Node, columns: Array, replaced: Array, start: int) -> tuple[Any, int]:
    """Fill rows from ``start`` on with a subtree's values after one of its parts was replaced by something simpler.

    All that was replaced below an operator goes through it at once.  Returns the subtree's own values, and the row
    after the last one that was filled.
    """
    if node.index is not None:
        return columns[node.index], start
    if node.operator is None:
        return np.float64(node.value), start  # type: ignore[arg-type]
    function = IEEE[node.operator]
    if len(node.children) == 1:
        argument, end = _replace_parts(node.children[0], columns, replaced, start)
        if end > start:
            replaced[start:end] = function(replaced[start:end])
        own = function(argument)
        replaced[end] = np.add.reduce(own) / len(own) if own.ndim else own
        replaced[end + 1] = argument
        return own, end + 2
    first, middle = _replace_parts(node.children[0], columns, replaced, start)
    second, end = _replace_parts(node.children[1], columns, replaced, middle)
    if middle > start:
        replaced[start:middle] = function(replaced[start:middle], second)
    if end > middle:
        replaced[middle:end] = function(first, replaced[middle:end])
    own = function(first, second)
    replaced[end] = np.add.reduce(own) / len(own) if own.ndim else own
    replaced[end + 1] = first
    replaced[end + 2] = second
    return own, end + 3

"""Expressions as integer codes: what travels between Python and Julia, and what traces store.

Owns: prefix codes, with constants in a parallel array.  Does not own: model tokens (`vocabulary`), frames (`frames`).

Code 0 is a constant; ``1 … F`` are the F variables; ``F+1 …`` are the operators in the order of the search's
`OperatorSet`.  The Julia package implements the same; `tests/golden/wire_v1.toml` ties the two.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.edits import KEPT
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.problem import OperatorSet

WIRE_VERSION = 1
Codes = npt.NDArray[np.int32]
Constants = npt.NDArray[np.float64]
KEPT_CODE = -1
"""Within what an edit plants: what was there before (`pysr_neural.expression.edits.KEPT`)."""


def encode(tree: Node, operators: OperatorSet, features: int) -> tuple[Codes, Constants]:
    """Write a tree as prefix codes.

    Returns
    -------
    codes : int32 array, shape (size,)
    constants : float64 array
        One value per code 0, in order.

    Raises
    ------
    ExpressionError
        If the tree uses a variable or an operator outside the search's.
    """
    codes, constants = encode_lists(tree, operators, features)
    return np.array(codes, dtype=np.int32), np.array(constants, dtype=np.float64)


def encode_lists(tree: Node, operators: OperatorSet, features: int) -> tuple[list[int], list[float]]:
    """Write a tree as prefix codes, as `encode` does, without the cost of two arrays."""
    codes: list[int] = []
    constants: list[float] = []
    index, first = operators.index, 1 + features
    waiting = [tree]  # Second and third children, while the walk goes down along first ones.
    put, wait = codes.append, waiting.append
    while waiting:
        node = waiting.pop()
        while children := node.children:
            count = len(children)
            position = index.get((node.operator, count))  # type: ignore[arg-type]
            if position is None:
                key = (node.operator, count)
                raise ExpressionError(f"An operator must belong to the search's {operators.names}; got {key}.")
            put(first + position)
            if count == 3:
                wait(children[2])
            if count > 1:
                wait(children[1])
            node = children[0]
        if node.value is not None:
            put(0)
            constants.append(node.value)
        elif node.index is not None and node.index < features:
            put(1 + node.index)
        else:
            raise ExpressionError(f"A variable must be one of {features} features; got x{node.index}.")
    return codes, constants


def encode_planted(tree: Node, operators: OperatorSet, features: int) -> tuple[list[int], list[float]]:
    """Write what an edit plants as prefix codes, as `encode_lists` does for a tree; `KEPT_CODE` for what stays."""
    codes: list[int] = []
    constants: list[float] = []
    for node in tree:
        if node is KEPT or node.index == KEPT.index:
            codes.append(KEPT_CODE)
        elif node.children:
            codes.append(1 + features + operators.index[node.operator or "", len(node.children)])
        else:
            own, values = encode_lists(node, operators, features)
            codes += own
            constants += values
    return codes, constants


def decode_planted(
    codes: Sequence[int] | Codes, constants: Sequence[float] | Constants, operators: OperatorSet, features: int
) -> Node:
    """Read what an edit plants from prefix codes; raises as `decode`."""
    kept = features + 1  # A variable of its own for what stays.
    shifted = [kept if c == KEPT_CODE else c + (c > features) for c in map(int, codes)]
    return _with_kept(decode(shifted, constants, operators, kept), features)


def _with_kept(tree: Node, index: int) -> Node:
    if tree.index == index:
        return KEPT
    if not tree.children:
        return tree
    return Node(tree.operator, tuple([_with_kept(child, index) for child in tree.children]))


def decode(
    codes: Sequence[int] | Codes, constants: Sequence[float] | Constants, operators: OperatorSet, features: int
) -> Node:
    """Read a tree from prefix codes.

    Raises
    ------
    ExpressionError
        If the codes are empty, end early, go on after the end, use an unknown code, or do not match the constants.
    """
    if len(codes) == 0:
        raise ExpressionError("A code sequence must hold at least one code; got none.")
    stack: list[Node] = []
    remaining = len(constants)
    for position in range(len(codes) - 1, -1, -1):
        code = int(codes[position])
        if code == 0:
            remaining -= 1
            if remaining < 0:
                raise ExpressionError(f"Each code 0 needs a constant; got only {len(constants)}.")
            stack.append(constant(float(constants[remaining])))
        elif 1 <= code <= features:
            stack.append(variable(code - 1))
        else:
            stack.append(_operator_node(code - features - 1, operators, stack, position))
    if len(stack) != 1 or remaining:
        raise ExpressionError(
            f"Codes must form exactly one tree and use every constant; got {len(stack)} trees and {remaining} "
            "unused constants."
        )
    return stack[0]


def _operator_node(index: int, operators: OperatorSet, stack: list[Node], position: int) -> Node:
    if not 0 <= index < len(operators.names):
        raise ExpressionError(f"A code must lie within the search's language; got an unknown one at {position}.")
    arity = operators.arities[index]
    if len(stack) < arity:
        raise ExpressionError(f"{operators.names[index]!r} at {position} needs {arity} arguments; got {len(stack)}.")
    children = tuple(stack.pop() for _ in range(arity))
    return Node(operators.names[index], children)

"""Cheap simplification of trees.

Owns: local rewriting that leaves every finite value unchanged up to rounding.  Does not own: telling expressions apart
(`canonical`), computer algebra (`sympy_bridge`).

A rule may turn NaN into a number (``x / x`` becomes 1), never a number into another.  No rule brings in an operator
that the tree does not use already, so a simplified tree belongs to the same search.
"""

import math
import operator as arithmetic
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from pysr_neural.expression.canonical import canonical, fingerprint
from pysr_neural.expression.node import Node, constant
from pysr_neural.operators import OPERATORS

__all__ = ["canonical", "fingerprint", "fold", "simplify"]

IDEMPOTENT = frozenset({"abs", "sign", "relu"})
EVEN = frozenset({"abs", "cos", "cosh", "square"})
INVERSE_OF: Mapping[str, str] = MappingProxyType(
    {"neg": "neg", "inv": "inv", "exp": "log", "log": "exp", "sin": "asin", "cos": "acos", "tan": "atan"}
)
"""Outer operator → inner operator that it undoes wherever the inner one is defined."""
_SUM, _PRODUCT = frozenset({"+", "-"}), frozenset({"*", "/"})
Fold = Callable[[float, float], float]


def simplify(tree: Node, constants: bool = True) -> Node:
    """Fold constants and remove what has no effect: ``x * 1``, ``x + 0``, ``x - x``, ``neg(neg(x))`` and the like.

    Parameters
    ----------
    tree : Node
        May hold operators that the table does not know; they are left alone.
    constants : bool
        Whether constants may come in: ``x / x`` becomes 1.

    Returns
    -------
    Node
        Never larger than the given tree, and the given object itself where nothing changed.
    """
    if not tree.children:
        return tree
    children = tuple([simplify(child, constants) if child.children else child for child in tree.children])
    for new, old in zip(children, tree.children, strict=True):
        if new is not old:
            tree = Node(tree.operator, children)
            break
    simple = _simplify_root(tree)
    return tree if simple.value is not None and not constants else simple


def _simplify_root(tree: Node) -> Node:
    folded = fold(tree)
    if folded is not None:
        return constant(folded)
    if len(tree.children) == 1:
        return _simplify_unary(tree)
    rule = _BINARY_RULES.get(tree.operator or "")
    return rule(tree, *tree.children) if rule is not None and len(tree.children) == 2 else tree


def fold(tree: Node) -> float | None:
    """Return the value of an operator over constants; None if it is not one, not known, or not finite."""
    for child in tree.children:
        if child.value is None:
            return None
    row = OPERATORS.get(tree.operator or "")
    if row is None or row.arity != len(tree.children):
        return None
    with np.errstate(all="ignore"):
        value = float(row.function(*[np.float64(child.value) for child in tree.children]))  # type: ignore[arg-type]
    return value if math.isfinite(value) else None


def _simplify_unary(tree: Node) -> Node:
    child = tree.children[0]
    if len(child.children) != 1:
        return tree
    if tree.operator in IDEMPOTENT and child.operator == tree.operator:
        return child
    if INVERSE_OF.get(tree.operator or "") == child.operator:
        return child.children[0]
    if (tree.operator in EVEN and child.operator == "neg") or (tree.operator == "square" and child.operator == "abs"):
        return Node(tree.operator, child.children)
    return tree


def _plus(tree: Node, a: Node, b: Node) -> Node:
    if a.value == 0:
        return b
    if b.value == 0:
        return a
    return _merge(tree, _SUM)


def _minus(tree: Node, a: Node, b: Node) -> Node:
    if b.value == 0:
        return a
    return constant(0.0) if a == b else _merge(tree, _SUM)


def _times(tree: Node, a: Node, b: Node) -> Node:
    if a.value == 1:
        return b
    if b.value == 1:
        return a
    return constant(0.0) if 0 in (a.value, b.value) else _merge(tree, _PRODUCT)


def _over(tree: Node, a: Node, b: Node) -> Node:
    if b.value == 1:
        return a
    if a.value == 0 and b.value is None:
        return a
    return constant(1.0) if a == b and a.value is None else _merge(tree, _PRODUCT)


def _to_power(tree: Node, a: Node, b: Node) -> Node:
    if b.value == 1:
        return a
    return constant(1.0) if b.value == 0 or a.value == 1 else tree


def _extreme(tree: Node, a: Node, b: Node) -> Node:
    return a if a == b else tree


_BINARY_RULES: Mapping[str, Callable[[Node, Node, Node], Node]] = MappingProxyType(
    {"+": _plus, "-": _minus, "*": _times, "/": _over, "^": _to_power, "max": _extreme, "min": _extreme}
)


def _merge(tree: Node, family: frozenset[str]) -> Node:
    """Join two constants that a sum (or a product) of three parts holds: ``(x + 1) - 3`` becomes ``x + -2``.

    Left untouched where the join would need an operator that the tree does not use, or would overflow.
    """
    backward = "-" if family is _SUM else "/"
    outer, inner = tree.children
    constant_first = outer.value is not None
    if constant_first:
        outer, inner = inner, outer
    if inner.value is None or outer.operator not in family or len(outer.children) != 2:
        return tree
    left, right = outer.children
    if (left.value is None) == (right.value is None):
        return tree
    found = _joined(tree.operator == backward, constant_first, inner.value, outer)
    if found is None:
        return tree
    name, rest, value, rest_first = found
    if not math.isfinite(value) or (value == 0 and family is _PRODUCT) or name not in (tree.operator, outer.operator):
        return tree
    new = Node(name, (rest, constant(value)) if rest_first else (constant(value), rest))
    return _simplify_root(new)


def _joined(backward: bool, constant_first: bool, c: float, other: Node) -> tuple[str, Node, float, bool] | None:
    """Work out ``c ∘ other`` as (operator, rest, constant, whether the rest stands first).

    Each part has a sign: +1 if it is added (multiplied), -1 if it is subtracted (divided by).
    """
    forward_name, backward_name, identity, plus, minus = _arithmetic_of(other.operator or "")
    first, second = other.children
    second_sign = -1 if other.operator == backward_name else 1
    other_sign = -1 if backward and constant_first else 1
    c_sign = -1 if backward and not constant_first else 1
    if first.value is not None:
        d, d_sign, rest, rest_sign = first.value, other_sign, second, second_sign * other_sign
    else:
        d, d_sign, rest, rest_sign = second.value or 0.0, second_sign * other_sign, first, other_sign
    if c_sign == d_sign == -1:
        return (backward_name, rest, plus(c, d), True) if rest_sign == 1 else None
    if minus is arithmetic.truediv and 0.0 in (c, d):
        return None
    value = plus(identity, c) if c_sign == 1 else minus(identity, c)
    value = plus(value, d) if d_sign == 1 else minus(value, d)
    return (forward_name, rest, value, True) if rest_sign == 1 else (backward_name, rest, value, False)


def _arithmetic_of(name: str) -> tuple[str, str, float, Fold, Fold]:
    if name in _SUM:
        return "+", "-", 0.0, arithmetic.add, arithmetic.sub
    return "*", "/", 1.0, arithmetic.mul, arithmetic.truediv

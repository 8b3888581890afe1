"""Exponentials written so that less of them overflows on the way: `tame`.

Owns: the few rules.  Does not own: other simplification (`simplify`), the choice between ways of writing.

``1 / sqrt(exp(x * x))`` and ``exp(-0.5 * (x * x))`` are one function, but the first is infinite, and so no number, from
``x = 9.5`` on in single precision, where the second is merely small.
"""

from collections.abc import Container

from pysr_neural.expression.node import Node, apply, constant

NEEDED = frozenset({"exp", "*"})


def tame(tree: Node, names: Container[str]) -> Node:
    """Move roots, reciprocals and products of exponentials into their exponents.

    Parameters
    ----------
    tree : Node
    names : container of str
        Operators that may be used: without ``exp`` and ``*`` nothing changes, sums of exponents need ``+`` and ``-``.

    Returns
    -------
    Node
        The same function up to rounding, wherever the given tree is finite; the given object itself where no rule
        applies.  It may be larger by a node or two, and have more constants.
    """
    if not tree.children or not all(name in names for name in NEEDED):
        return tree
    children = tuple([tame(child, names) for child in tree.children])
    if any(new is not old for new, old in zip(children, tree.children, strict=True)):
        tree = Node(tree.operator, children)
    return _tamed_root(tree, names)


def _tamed_root(tree: Node, names: Container[str]) -> Node:
    first, last = tree.children[0], tree.children[-1]
    if tree.operator == "sqrt" and first.operator == "exp":
        return apply("exp", _times(0.5, first.children[0]))
    if tree.operator not in ("*", "/") or last.operator != "exp":
        return tree
    exponent, over = last.children[0], tree.operator == "/"
    if first.operator == "exp" and first == last:
        return constant(1.0) if over else apply("exp", _times(2.0, exponent))
    if first.operator == "exp" and ("-" if over else "+") in names:
        return apply("exp", apply("-" if over else "+", first.children[0], exponent))
    if not over:
        return tree
    inverse = apply("exp", _times(-1.0, exponent))
    return inverse if first.value == 1 else apply("*", first, inverse)


def _times(factor: float, tree: Node) -> Node:
    """Write a multiple, within a constant factor where the tree has one."""
    if tree.value is not None:
        return constant(factor * tree.value)
    if tree.operator == "*":
        left, right = tree.children
        if left.value is not None:
            return apply("*", constant(factor * left.value), right)
        if right.value is not None:
            return apply("*", left, constant(factor * right.value))
    if tree.operator == "-" and factor == -1:
        return apply("-", *reversed(tree.children))
    return apply("*", constant(factor), tree)

"""Whether a tree belongs to a search: structure, language and limits.

Owns: `check_tree`, the one list of reasons for refusing a tree.  Does not own: counting refusals (`proposer.guarded`).
"""

import math

from pysr_neural.expression.node import Node
from pysr_neural.problem import Complexities, Limits, OperatorSet, Problem

REASONS = (
    "not a tree",
    "size",
    "depth",
    "malformed",
    "constant",
    "variable",
    "operator",
    "arity",
    "nested",
    "argument",
)
"""What `check_tree` may answer, in the order in which it looks."""


def check_tree(tree: object, problem: Problem, max_size: int | None = None) -> str | None:
    """Say why a tree does not belong to a problem.

    Parameters
    ----------
    tree : object
        Anything; only a `Node` can be valid.
    problem : Problem
    max_size : int, optional
        Current size limit, if tighter than the problem's.

    Returns
    -------
    str or None
        One of `REASONS`; None if the tree is valid.
    """
    return check_language(tree, problem.operators, problem.X.shape[1], problem.limits, max_size)


def check_language(
    tree: object, operators: OperatorSet, features: int, limits: Limits, max_size: int | None = None
) -> str | None:
    """Do the same as `check_tree` where there is no `Problem` at hand; needs the number of features instead of data."""
    if not isinstance(tree, Node):
        return "not a tree"
    most = limits.max_size if max_size is None else min(limits.max_size, max_size)
    if limits.complexities is None and tree.size > most:
        return "size"
    if tree.depth > limits.max_depth:
        return "depth"
    known = operators.index
    for node in tree:
        children = node.children if isinstance(node, Node) else ()
        if children and node.value is node.index is None and (node.operator, len(children)) in known:
            continue  # As nearly always.
        reason = _check_node(node, operators, features)
        if reason is None and node.value is not None and not limits.constants:
            reason = "constant"
        if reason is not None:
            return reason
    if limits.complexities is not None and complexity_of(tree, operators, limits.complexities) > most:
        return "size"
    if any(_violates(tree, operators, rule) for rule in limits.nested):
        return "nested"
    oversized = any(_oversized(tree, operators, rule, limits.complexities) for rule in limits.arguments)
    return "argument" if oversized else None


def complexity_of(tree: Node, operators: OperatorSet, complexities: Complexities | None) -> int:
    """Return the size of a tree of a search's language, as the search counts it.

    Parameters
    ----------
    tree : Node
    operators : OperatorSet
    complexities : Complexities or None
        None counts nodes.
    """
    if complexities is None:
        return tree.size
    total = 0.0
    for node in tree:
        if node.value is not None:
            total += complexities.constant
        elif node.index is not None:
            total += complexities.variables[node.index]
        else:
            total += complexities.operators[operators.index[node.operator or "", len(node.children)]]
    return round(total)


def _check_node(node: object, operators: OperatorSet, features: int) -> str | None:
    if not isinstance(node, Node) or (node.operator, node.index, node.value).count(None) != 2:
        return "malformed"
    if node.operator is not None:
        return _check_operator(node, operators)
    if node.children:
        return "malformed"
    if node.value is not None:
        return None if isinstance(node.value, float) and math.isfinite(node.value) else "constant"
    return None if isinstance(node.index, int) and 0 <= node.index < features else "variable"


def _check_operator(node: Node, operators: OperatorSet) -> str | None:
    if (node.operator, len(node.children)) in operators.index:
        return None
    return "arity" if node.operator in operators.names else "operator"


def _oversized(
    tree: Node, operators: OperatorSet, rule: tuple[int, int, int], complexities: Complexities | None
) -> bool:
    place, argument, most = rule
    key = list(operators.index)[place]
    return any(
        (node.operator, len(node.children)) == key
        and complexity_of(node.children[argument], operators, complexities) > most
        for node in tree
    )


def _violates(tree: Node, operators: OperatorSet, rule: tuple[int, int, int]) -> bool:
    outer, inner, most = rule
    keys = list(operators.index)
    return _excess(tree, keys[outer], keys[inner], most) < 0


def _excess(node: Node, outer: tuple[str, int], inner: tuple[str, int], most: int) -> int:
    """Return the largest number of inner operators on a path from this node down; -1 once the rule is broken."""
    below = 0
    for child in node.children:
        count = _excess(child, outer, inner, most)
        if count < 0:
            return -1
        below = max(below, count)
    key = (node.operator, len(node.children))
    if key == outer and below > most:
        return -1
    return below + (key == inner)

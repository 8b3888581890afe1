"""Which single mutation leads from one expression to another, found from the two alone.

Owns: `Move`, `move_between`.  Does not own: doing mutations (an engine's business), what follows from them
(`adaptation`).

Where several kinds would give the same result, the one named is that which engines try more often: an operator put over
a leaf, or on top of the whole, is ``"add"``; elsewhere ``"insert"``.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pysr_neural.expression.node import Node

MOST_GROWTH = 3
"""Nodes that one mutation adds or takes at most, but for the kind ``"delete"``, which may take a whole operand."""


@dataclass(frozen=True)
class Move:
    """One recognised mutation.

    Parameters
    ----------
    kind : str
        One of `pysr_neural.state.KINDS`.
    operators : tuple of (str, int)
        Name and arity of the operators that the child has more of than the parent.
    variables : tuple of int
        The variables that it has more of.
    """

    kind: str
    operators: tuple[tuple[str, int], ...] = ()
    variables: tuple[int, ...] = ()


def move_between(parent: Node, child: Node) -> Move | None:
    """Return the move from one tree to another; None if they are equal or more than one mutation apart.

    Parameters
    ----------
    parent, child : Node
    """
    if child.size - parent.size > MOST_GROWTH or parent == child:
        return None
    kind = _kind_between(parent, child)
    if kind is None:
        return None
    more = Counter(_symbols(child)) - Counter(_symbols(parent))
    operators = tuple([symbol for symbol in more if isinstance(symbol, tuple)])
    return Move(kind, operators, tuple([symbol for symbol in more if isinstance(symbol, int)]))


def _kind_between(parent: Node, child: Node) -> str | None:
    """Go down to the smallest subtrees that hold all the difference, and name that."""
    top = True
    while parent.operator is not None and parent.operator == child.operator:
        pairs = zip(parent.children, child.children, strict=False)
        different = [(a, b) for a, b in pairs if a != b]
        if len(different) != 1 or len(parent.children) != len(child.children):
            break
        (parent, child), top = different[0], False
    if not parent.children and not child.children:
        return _kind_of_leaves(parent, child)
    if parent.children and len(parent.children) == len(child.children):
        if parent.children == child.children:
            return "operator"
        if parent.operator == child.operator and Counter(parent.children) == Counter(child.children):
            return "swap"
    if child in parent.children:
        return "delete"
    if _is_grown(parent, child):
        return "add" if top or not parent.children else "insert"
    return "rotate" if parent.size == child.size and child in _rotations(parent) else None


def _kind_of_leaves(parent: Node, child: Node) -> str | None:
    if parent.value is not None and child.value is not None:
        return "constant"
    return "feature" if parent.index is not None and child.index is not None else None


def _is_grown(parent: Node, child: Node) -> bool:
    """Tell whether the child is an operator over leaves and the parent, which may be lost if it is a leaf itself."""
    inner = [argument for argument in child.children if argument.children]
    if not child.children or len(inner) > 1:
        return False
    return inner == [parent] if inner else not parent.children


def _rotations(root: Node) -> Iterator[Node]:
    """Yield what SymbolicRegression.jl's rotation of a node may give: an operand rises, the node takes one of its."""
    for which, pivot in enumerate(root.children):
        for place, kept in enumerate(pivot.children):
            lowered = Node(root.operator, _with(root.children, which, kept))
            yield Node(pivot.operator, _with(pivot.children, place, lowered))


def _with(children: tuple[Node, ...], position: int, new: Node) -> tuple[Node, ...]:
    return (*children[:position], new, *children[position + 1 :])


def _symbols(tree: Node) -> Iterator[tuple[str, int] | int]:
    for node in tree:
        if node.operator is not None:
            yield node.operator, len(node.children)
        elif node.index is not None:
            yield node.index

"""The edits that variation makes of a tree, as data: where, which operand, and what goes there.

Owns: `Edit`, doing one, `KEPT`, what is still to be drawn.  Does not own: which edit is made (an engine's variation, or
a policy), the names of kinds (`pysr_neural.state`), limits on the result (`constraints`).

An edit says everything that was decided, so that doing it again gives the same tree.  Values that an engine draws by
its own rule may be left open: a constant of NaN (`UNDRAWN`).
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.node import Node

MOST_OPERANDS = 3
KEPT = Node(index=-1)
"""Stands, within what is planted, for what was there before; as the operands of ``"operator"``, for its operands."""
UNDRAWN = Node(value=math.nan)
"""A constant whose value the engine draws."""
UP, DOWN, NEGATED = 0, 1, 2
"""Places of ``"constant"``: times a factor, divided by one; 2 more with a change of sign."""
PAIRS = ((0, 1), (0, 2), (1, 2))
"""Places of ``"swap"``: which operands change places."""


class Edit(NamedTuple):
    """One edit of a tree; a tuple, because a search makes one per child.

    Parameters
    ----------
    node : int
        Prefix position of what changes; -1 if nothing does, or the kind concerns the whole tree.
    place : int
        ``"crossover"``: prefix position in the second parent; ``"delete"``: the operand that stays; ``"swap"``: one of
        `PAIRS`; ``"rotate"``: the operand that rises times 3, plus its operand that sinks; ``"constant"``: the
        direction; otherwise -1.
    planted : Node or None
        ``"randomize"``: what goes there; ``"add"``, ``"insert"``: likewise, around `KEPT` if it stays; ``"operator"``:
        the operator over `KEPT`; ``"feature"``, ``"constant"``: the leaf; otherwise None.
    """

    node: int = -1
    place: int = -1
    planted: Node | None = None


NOTHING = Edit()


def edited(kind: str, edit: Edit, tree: Node, other: Node | None = None) -> Node:
    """Return a tree after an edit; the tree itself after one that changes nothing.

    Parameters
    ----------
    kind : str
        One of `pysr_neural.state.KINDS`; ``"simplify"`` and ``"optimize"`` are an engine's business.
    edit : Edit
    tree : Node
        The first parent.
    other : Node, optional
        The second parent of a crossover.

    Raises
    ------
    ExpressionError
        If the edit does not suit the tree.
    """
    if edit.node < 0:
        return tree
    old = tree.at(edit.node)
    if kind == "crossover":
        new = _needed(other, kind).at(edit.place)
    elif kind in _SHAPES:
        new = _SHAPES[kind](old, edit.place)
    else:
        planted = _needed(edit.planted, kind)
        if kind == "operator":
            if len(planted.children) != len(old.children):
                raise ExpressionError(
                    f"An operator must have the arity of the node; got {planted.operator!r} of "
                    f"{len(planted.children)} for a node of {len(old.children)} operands."
                )
            new = Node(planted.operator, old.children)
        else:
            new = around(planted, old)
    return tree.replace(edit.node, new)


def around(planted: Node, kept: Node) -> Node:
    """Return what is planted, with what was there in place of `KEPT`."""
    if planted.index == KEPT.index:
        return kept
    return _with_children(planted, [around(child, kept) for child in planted.children]) if planted.children else planted


def drawn(planted: Node, draw: Callable[[], Node]) -> Node:
    """Return what is planted, with every undrawn constant drawn, in prefix order."""
    if planted.value is not None:
        return draw() if math.isnan(planted.value) else planted
    return _with_children(planted, [drawn(child, draw) for child in planted.children]) if planted.children else planted


def _with_children(tree: Node, children: list[Node]) -> Node:
    """Return a node with other children; the node itself if they are the same."""
    for own, new in zip(tree.children, children, strict=True):
        if own is not new:
            return Node(tree.operator, tuple(children))
    return tree


def rotations(node: Node) -> Iterator[int]:
    """Yield the places of ``"rotate"`` at a node."""
    for which, pivot in enumerate(node.children):
        for place in range(len(pivot.children)):
            yield MOST_OPERANDS * which + place


def pairs_of(arity: int) -> list[int]:
    """Return the places of ``"swap"`` at a node."""
    return [i for i, (_, second) in enumerate(PAIRS) if second < arity]


def replaced(children: tuple[Node, ...], position: int, new: Node) -> tuple[Node, ...]:
    """Return operands of which one is another."""
    return (*children[:position], new, *children[position + 1 :])


def _swapped(old: Node, place: int) -> Node:
    children = list(old.children)
    if place not in pairs_of(len(children)):
        raise ExpressionError(f"A swap's place must be among {pairs_of(len(children))}; got {place}.")
    first, second = PAIRS[place]
    children[first], children[second] = children[second], children[first]
    return Node(old.operator, tuple(children))


def _rotated(old: Node, place: int) -> Node:
    which, below = divmod(place, MOST_OPERANDS)
    if place not in rotations(old):
        raise ExpressionError(f"A rotation's place must be among {list(rotations(old))}; got {place}.")
    pivot = old.children[which]
    lowered = Node(old.operator, replaced(old.children, which, pivot.children[below]))
    return Node(pivot.operator, replaced(pivot.children, below, lowered))


def _deleted(old: Node, place: int) -> Node:
    if not 0 <= place < len(old.children):
        raise ExpressionError(f"A deletion keeps one of {len(old.children)} operands; got {place}.")
    return old.children[place]


_SHAPES: dict[str, Callable[[Node, int], Node]] = {"swap": _swapped, "rotate": _rotated, "delete": _deleted}


def _needed(given: Node | None, kind: str) -> Node:
    if given is None:
        raise ExpressionError(f"An edit of kind {kind!r} must say what goes there, or come from a second parent.")
    return given

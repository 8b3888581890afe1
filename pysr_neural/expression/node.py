"""Immutable expression trees.

Owns: the node type and structural edits.  Does not own: meaning (`evaluate`), texts (`text`), codes (`wire.codes`).

Edits share structure: replacing one node rebuilds only the path above it.  Size, depth, number
of constants and hash are computed once, when a node is made.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pysr_neural.errors import ExpressionError

_bits = struct.Struct("<d").pack


class Node:
    """One node of an expression: a constant, a variable, or an operator over children.

    Make nodes with `constant`, `variable` and `apply`; the attributes are read-only.

    Attributes
    ----------
    operator : str or None
        The operator's name; None for a leaf.
    children : tuple of Node
        Empty for a leaf.
    index : int or None
        Which variable, counted from 0; None if not a variable.
    value : float or None
        The constant's value; None if not a constant.
    size, depth : int
        Number of nodes; length of the longest path, 1 for a leaf.
    constant_count : int
        Number of constants.
    """

    __slots__ = ("_hash", "children", "constant_count", "depth", "index", "operator", "size", "value")

    operator: str | None
    children: tuple[Node, ...]
    index: int | None
    value: float | None
    size: int
    depth: int
    constant_count: int
    _hash: int

    def __init__(
        self,
        operator: str | None = None,
        children: tuple[Node, ...] = (),
        index: int | None = None,
        value: float | None = None,
    ) -> None:
        size, depth, count, hashes = 1, 0, 0 if value is None else 1, []
        for child in children:
            size += child.size
            count += child.constant_count
            if child.depth > depth:
                depth = child.depth
            hashes.append(child._hash)
        bits = None if value is None else _bits(value)
        _set_operator(self, operator)
        _set_children(self, children)
        _set_index(self, index)
        _set_value(self, value)
        _set_size(self, size)
        _set_depth(self, depth + 1)
        _set_constant_count(self, count)
        _set_hash(self, hash((operator, index, bits, *hashes)))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Node is immutable; got an assignment to {name!r}. Make a new node instead.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"A Node is immutable; got a deletion of {name!r}.")

    def __reduce__(self) -> tuple[type[Node], tuple[object, ...]]:
        return Node, (self.operator, self.children, self.index, self.value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Node) or self._hash != other._hash or self.operator != other.operator:
            return False
        if self.operator is not None:
            return self.children == other.children
        return self.index == other.index and _same_value(self.value, other.value)

    def __repr__(self) -> str:
        if self.operator is not None:
            return f"apply({self.operator!r}, {', '.join(map(repr, self.children))})"
        return f"variable({self.index})" if self.index is not None else f"constant({self.value!r})"

    def __iter__(self) -> Iterator[Node]:
        """Iterate over all nodes in prefix order."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            if node.children:
                stack.extend(node.children[::-1])

    def at(self, position: int) -> Node:
        """Return the node at a prefix position, 0 being the root.

        Raises
        ------
        ExpressionError
            If there is no such position.
        """
        if not 0 <= position < self.size:
            raise ExpressionError(f"A position must lie in 0..{self.size - 1}; got {position}.")
        node = self
        while position:
            position -= 1
            for child in node.children:
                if position < child.size:
                    node = child
                    break
                position -= child.size
        return node

    def replace(self, position: int, new: Node) -> Node:
        """Return a tree in which the subtree at a prefix position is another one.

        Raises
        ------
        ExpressionError
            If there is no such position.
        """
        if position == 0:
            return new
        if not 0 <= position < self.size:
            raise ExpressionError(f"A position must lie in 0..{self.size - 1}; got {position}.")
        position -= 1
        children = list(self.children)
        for i, child in enumerate(children):
            if position < child.size:
                children[i] = child.replace(position, new)
                break
            position -= child.size
        return Node(self.operator, tuple(children))

    def constants(self) -> list[float]:
        """Return the values of all constants in prefix order."""
        found, pending = [], [self]
        while pending:
            node = pending.pop()
            if node.value is not None:
                found.append(node.value)
            elif node.constant_count:
                pending += node.children[::-1]
        return found

    def with_constants(self, values: list[float]) -> Node:
        """Return the same tree with other constant values, given in prefix order.

        Raises
        ------
        ExpressionError
            If the number of values differs from the number of constants.
        """
        remaining = iter(values)
        try:
            tree = _substitute(self, remaining)
        except StopIteration:
            tree = None
        if tree is None or next(remaining, None) is not None:
            raise ExpressionError(
                f"As many values as constants are needed: {len(self.constants())}; got {len(values)}."
            )
        return tree

    def variables(self) -> set[int]:
        """Return the indices of the variables that occur."""
        return {node.index for node in self if node.index is not None}


# A slot's own setter goes around `__setattr__`, and is the fastest way to do so: nodes are made by the million.
_set_operator, _set_children, _set_index, _set_value, _set_size, _set_depth, _set_constant_count, _set_hash = (
    vars(Node)[name].__set__
    for name in ("operator", "children", "index", "value", "size", "depth", "constant_count", "_hash")
)


def _same_value(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return _bits(a) == _bits(b)


def _substitute(node: Node, values: Iterator[float]) -> Node:
    """Replace constants; what holds none is shared."""
    if node.value is not None:
        return constant(next(values))
    if not node.constant_count:
        return node
    return Node(node.operator, tuple([_substitute(child, values) for child in node.children]))


def constant(value: float) -> Node:
    """Make a constant leaf."""
    return Node(value=float(value))


def variable(index: int) -> Node:
    """Make a variable leaf; variables count from 0.

    Raises
    ------
    ExpressionError
        If the index is negative.
    """
    if index < 0:
        raise ExpressionError(f"A variable's index must be at least 0; got {index}.")
    return Node(index=int(index))


def apply(operator: str, *children: Node) -> Node:
    """Make an operator node over its arguments, which must be 1 to 3."""
    if not children:
        raise ExpressionError(f"An operator must have at least one argument; {operator!r} got none.")
    return Node(operator, children)

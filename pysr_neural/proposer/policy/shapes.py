"""Trees as arrays, many at once.

Owns: `Shape`, its columns, making them.  Does not own: which symbol has which number (`language`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.edits import MOST_OPERANDS
from pysr_neural.expression.node import Node

Ints = npt.NDArray[np.int64]

TOKEN, SIZE, LEVEL, HEIGHT, ARITY, ABOVE, OPERAND, FIRST_ARITY = range(8)
"""Columns of a shape: the symbol; nodes below and with it; its distance from the root; levels below and with it; its
operands; the symbol above it, or the root's; which operand it is; then the arity of each of its operands."""
COLUMNS = FIRST_ARITY + MOST_OPERANDS


class Shape(NamedTuple):
    """A tree as arrays.

    Parameters
    ----------
    nodes : list of Node
        In prefix order.
    rows : int array, shape (size, COLUMNS)
        Of each node.
    constants, variables, distinct : int
        Leaves of each sort, and how many variables occur.
    """

    nodes: list[Node]
    rows: npt.NDArray[np.int16]
    constants: int
    variables: int
    distinct: int


def shapes_of(trees: Sequence[Node], index: Mapping[tuple[str, int], int], features: int, none: int) -> list[Shape]:
    """Return trees as arrays.

    Parameters
    ----------
    trees : sequence of Node
        At least one.
    index : mapping
        The symbols of operators, by name and arity; 0 is a constant, and then there are as many variables as features.
    features : int
    none : int
        Stands above a root.
    """
    nodes = [list(tree) for tree in trees]
    flat = [node for own in nodes for node in own]
    named = [(node.operator, len(node.children), node.index) for node in flat]
    tokens = np.array([index[name, n] if name is not None else 0 if i is None else i + 1 for name, n, i in named])
    ends = np.cumsum([len(own) for own in nodes])
    starts = ends - [len(own) for own in nodes]
    rows = np.zeros((len(flat), COLUMNS), dtype=np.int16)
    rows[:, TOKEN] = tokens
    rows[:, SIZE] = sizes = np.array([node.size for node in flat])
    rows[:, HEIGHT] = [node.depth for node in flat]
    rows[:, ARITY] = arities = np.array([arity for _, arity, _ in named])
    rows[starts, ABOVE] = none
    for operand, above in enumerate(operands(np.arange(len(flat)), sizes, arities)):
        has = np.flatnonzero(arities > operand)
        at = above[has]
        rows[at, ABOVE], rows[at, OPERAND] = tokens[has], operand
        rows[has, FIRST_ARITY + operand] = arities[at]
    rows[:, LEVEL] = _levels(sizes)
    leaves = (tokens == 0, (tokens > 0) & (tokens <= features))
    constants, variables = (np.add.reduceat(sort, starts, dtype=np.int64).tolist() for sort in leaves)
    occurs = np.zeros((len(nodes), features + 1), dtype=bool)
    occurs[np.repeat(np.arange(len(nodes)), ends - starts)[leaves[1]], tokens[leaves[1]]] = True
    each = zip(nodes, starts.tolist(), ends.tolist(), constants, variables, occurs.sum(axis=1).tolist(), strict=True)
    return [Shape(own, rows[a:b], *counts) for own, a, b, *counts in each]


def operands(at: Ints, sizes: Ints, arities: Ints) -> list[Ints]:
    """Return where each operand of some nodes is, as many as any has; all nodes are in prefix order.

    Parameters
    ----------
    at : int array
        The nodes that are asked about; where one has fewer operands, what is returned for it has no meaning.
    sizes : int array
        Of all nodes.
    arities : int array
        Of the nodes that are asked about.
    """
    found = [at + 1]
    while len(found) < arities.max(initial=0):
        before = found[-1]
        found.append(before + sizes[np.minimum(before, len(sizes) - 1)])
    return found


def _levels(sizes: Ints) -> Ints:
    """Return how many nodes are above each: those before it whose subtrees have not ended."""
    number = np.arange(len(sizes))
    return number - np.cumsum(np.bincount(number + sizes, minlength=len(sizes)))[: len(sizes)]

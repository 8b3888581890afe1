"""Parts of answers, with their values: subexpressions that were sampled or searched, and enumerated ones.

Owns: `Parts`, which expressions there are, their values, none twice.  Does not own: what they explain (`sums`,
`forms`).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet

HUGE = 1e60
NEGLIGIBLE = 1e-7
LARGEST = 9
"""Most nodes of an enumerated part."""
NESTING = 1
"""What it costs more, in nodes, that a unary operator lies directly below another."""
_COMMUTATIVE = frozenset({"+", "*", "max", "min"})
_DIGITS = 1e9
_AT_ONCE = 2_000_000
"""Most values held while candidates are being compared."""

How = tuple[str, tuple[int, ...]] | Node
"""An operator and its operands: parts, or leaves counted from -1 downwards; or the expression itself."""


class Parts:
    """Expressions in one variable at least, with their values; equal up to a factor they are one part.

    Parameters
    ----------
    X : array, shape (rows, features)
    operators : OperatorSet
        Only these are enumerated.
    order : sequence of int
        The variables, the most important first.

    Attributes
    ----------
    columns : array, shape (features, rows)
    values : array, shape (parts, rows)
        Finite, not constant.
    """

    def __init__(self, X: Array, operators: OperatorSet, order: Sequence[int]) -> None:
        self.columns = np.ascontiguousarray(X.T)
        self._operators = operators
        self._leaves = [*map(variable, order), constant(1.0)]
        self._values_of_leaves = np.concatenate([self.columns[order], np.ones((1, len(X)))])
        self._how: list[How] = []
        self._trees: dict[int, Node] = {}
        self._known: dict[tuple[int, ...], int] = {}
        probe = np.random.default_rng(0).standard_normal((len(X), 2))
        self._probe = probe / np.sqrt(len(X))
        self._room = np.empty((0, len(X)))
        self._size: list[int] = []
        self._unary: list[bool] = []
        self._count = 0
        self._levels: list[list[int]] = [[], []]
        self._made: list[int] = []
        self._enumerated: set[int] = set()
        self._whole, self._cut = 1, False
        self._made = self._add(self._values_of_leaves[:-1], list(self._leaves[:-1]))
        self._enumerated = set(self._made)

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> Array:
        """Of all parts so far; further ones may lie elsewhere."""
        return self._room[: self._count]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Numbers of nodes, shape (parts,)."""
        return np.array(self._size, dtype=np.int64)

    def tree(self, part: int) -> Node:
        """Return a part's expression."""
        found = self._trees.get(part)
        if found is None:
            how = self._how[part]
            if isinstance(how, Node):
                found = how
            else:
                name, operands = how
                found = apply(name, *[self.tree(k) if k >= 0 else self._leaves[-1 - k] for k in operands])
            self._trees[part] = found
        return found

    def add(self, trees: Sequence[Node]) -> list[int]:
        """Add expressions, the most important first; returns the parts that they are, old or new."""
        trees = [tree for tree in dict.fromkeys(trees) if tree.variables()]
        if not trees:
            return []
        with np.errstate(all="ignore"):
            values = values_of(trees, self.columns)
            return self._add(values, trees)

    def enumerated(self, most: int) -> list[int]:
        """Return the first so many of all expressions of variables and 1, from small to large."""
        with np.errstate(all="ignore"):
            while len(self._made) < most and self._whole < LARGEST:
                if not self._cut:
                    self._whole += 1
                    self._levels.append([])
                self._enumerate_size(self._whole, most)
                self._cut = len(self._made) >= most  # What is left of this size comes first the next time.
        return self._made[:most]

    def _enumerate_size(self, size: int, most: int) -> None:
        for name in self._operators.of_arity(1):
            below = [k for k in self._level(size - 1, constants=False) if k < 0 or not self._unary[k]]
            below += [k for k in self._level(size - 1 - NESTING, constants=False) if k >= 0 and self._unary[k]]
            if len(self._made) < most and below:
                self._put(name, [below], most)
        if len(self._made) < most and ("*", 2) in self._operators.index:
            self._square(self._level(size - 1, constants=False), most)
        for left in range(1, size - 1):
            right = size - 1 - left
            for name in self._operators.of_arity(2):
                if len(self._made) < most and not (name in _COMMUTATIVE and left > right):
                    self._put(name, [self._level(left), self._level(right)], most)

    def _square(self, operands: list[int], most: int) -> None:
        """Add squares, which cost no more than a unary operator."""
        if operands:
            self._make(np.square(self._values(operands)), [("*", (k, k)) for k in operands], most)

    def _level(self, size: int, constants: bool = True) -> list[int]:
        """Return the operands of a size; leaves are counted from -1 downwards."""
        if size == 1:
            return [-1 - k for k in range(len(self._leaves) - (not constants))]
        return self._levels[size] if size < len(self._levels) else []

    def _put(self, name: str, operands: list[list[int]], most: int) -> None:
        """Add an operator's results for all combinations of operands."""
        function = IEEE[name]
        if len(operands) == 1:
            self._make(function(self._values(operands[0])), [(name, (k,)) for k in operands[0]], most)
            return
        left, right = operands
        if not left or not right:
            return
        a, b = self._values(left), self._values(right)
        chunk = max(1, _AT_ONCE // (len(right) * a.shape[1]))
        for start in range(0, len(left), chunk):
            some = left[start : start + chunk]
            values = function(a[start : start + chunk, None], b[None]).reshape(-1, a.shape[1])
            hows: list[How] = [(name, (i, j)) for i in some for j in right]
            if name in _COMMUTATIVE and left == right:
                places = np.arange(start, start + len(some))
                kept = np.flatnonzero(places[:, None] < np.arange(len(right)))
                values, hows = values[kept], [hows[k] for k in kept.tolist()]
            self._make(values, hows, most)
            if len(self._made) >= most:
                return

    def _make(self, values: Array, hows: list[How], most: int) -> None:
        """Add what is new, also if it was sampled before, to the level that is being enumerated."""
        level = self._levels[-1]
        for part in self._add(values, hows, most - len(self._made)):
            if part not in self._enumerated and len(self._made) < most:
                self._enumerated.add(part)
                self._made.append(part)
                level.append(part)

    def _values(self, operands: list[int]) -> Array:
        return np.stack([self._room[k] if k >= 0 else self._values_of_leaves[-1 - k] for k in operands])

    def _add(self, values: Array, hows: Sequence[How], most: int | None = None) -> list[int]:
        """Add what is usable and new among candidates, at most so many; returns the part of each usable one."""
        largest = values[np.arange(len(values)), np.abs(values).argmax(axis=1)]
        usable = (np.abs(largest) > 1 / HUGE) & (np.abs(largest) < HUGE)
        usable &= np.ptp(values, axis=1) > NEGLIGIBLE * np.abs(largest)
        rows = np.flatnonzero(usable)
        keys = np.rint((values[rows] / largest[rows, None]) @ self._probe * _DIGITS).astype(np.int64)
        parts: list[int] = []
        new: list[int] = []
        for row, key in zip(rows.tolist(), map(tuple, keys.tolist()), strict=True):
            part = self._known.get(key)
            if part is None:
                if most is not None and len(new) >= most:
                    continue
                part = self._known[key] = self._count + len(new)
                new.append(row)
            parts.append(part)
        if new:
            self._append(values[new], [hows[k] for k in new])
        return parts

    def _append(self, values: Array, hows: list[How]) -> None:
        end = self._count + len(values)
        if end > len(self._room):
            room = np.empty((max(2 * len(self._room), end), values.shape[1]))
            room[: self._count] = self.values
            self._room = room
        self._room[self._count : end] = values
        for how in hows:
            if isinstance(how, Node):
                size, unary = how.size, len(how.children) == 1
            else:
                size, unary = 1 + sum(int(self._size[k]) if k >= 0 else 1 for k in how[1]), len(how[1]) == 1
            self._size.append(size)
            self._unary.append(unary)
        self._how += hows
        self._count = end


def most_frequent(trees: Sequence[Node]) -> list[Node]:
    """Return the subexpressions of trees, the most frequent first."""
    counts: Counter[Node] = Counter()
    for tree in trees:
        counts.update(tree)
    return sorted(counts, key=lambda node: (-counts[node], node.size))


def values_of(trees: Sequence[Node], columns: Array) -> Array:
    """Evaluate expressions, each subexpression once; shape (trees, rows)."""
    known: dict[Node, Array] = {}

    def value(node: Node) -> Array:
        if node.index is not None:
            return columns[node.index]
        if node.operator is None:
            return np.float64(node.value)  # type: ignore[return-value]
        found = known.get(node)
        if found is None:
            found = known[node] = IEEE[node.operator](*[value(child) for child in node.children])
        return found

    values = np.empty((len(trees), columns.shape[1]))
    for row, tree in zip(values, trees, strict=True):
        row[:] = value(tree)
    return values

"""What the data say about changes that nobody has made yet: what a node should be, and who comes near to that.

Owns: the values that would make a tree right if they stood in place of one of its nodes, what the loss would then be
with other parts in that place.  Does not own: features (`population`), decisions (`walk`).

Going down from the root, y is taken through the inverse of every operator, and errors are weighed by its slope
(semantic backpropagation: Pawlak, Wieloch, Krawiec, IEEE Trans. Evol. Comput. 19, 2015; here with the weights of
Gauss and Newton).  Where the way up is affine in the node, the loss told is exact; elsewhere it is exact where it is 0,
and of first order beside that.  Operators without an inverse are taken as linear about the present values.
Nothing is fitted: a constant that is still to be drawn stands as 1.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS, Array, Function
from pysr_neural.problem import Problem

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ROWS = 64
"""Rows of the data that are looked at, at most."""
LEAST, MOST = 1e-12, 1e30
"""Relative losses below and above are not told apart."""
LOWEST, HIGHEST = -10.0, 25.0
NEEDED = 0.9
"""Share of the rows on which a place has to want something."""
KEPT_TREES = 3000
_INVERSES: Mapping[str, Function] = {
    "inv": lambda t: 1.0 / t,
    "square": np.sqrt,
    "cube": np.cbrt,
    "sqrt": lambda t: np.where(t >= 0, t * t, np.nan),
    "exp": np.log,
    "log": np.exp,
    "tanh": np.arctanh,
    "neg": np.negative,
}
"""From what an operator's value should be to what its argument should be."""


class Wanted(NamedTuple):
    """What the nodes of a tree are and should be, in prefix order.

    Parameters
    ----------
    parts : list of Node
    values : array, shape (nodes, rows)
        Of the nodes as they are; 0 where not finite.
    finite : bool array, shape (nodes,)
        Whether a node's values are.
    weights, aims : arrays, shape (nodes, rows)
        With values v in place of node i the relative loss is ``rest[i] - 2 aims[i] @ v + weights[i] @ v**2``.
    rest : array, shape (nodes,)
        Infinite where nothing can be told.
    """

    parts: list[Node]
    values: Array
    finite: Flags
    weights: Array
    aims: Array
    rest: Array


class Foresight:
    """Looks ahead in one search; remembers the trees that it has met.

    Parameters
    ----------
    problem : Problem
    scale : float
        What losses are divided by.
    plants : Plants
    """

    def __init__(self, problem: Problem, scale: float, plants: "Plants") -> None:
        rows = np.unique(np.linspace(0, len(problem.y) - 1, min(ROWS, len(problem.y))).astype(np.int64))
        self.columns: Array = np.ascontiguousarray(problem.X[rows].T)
        self.y: Array = np.ascontiguousarray(problem.y[rows])
        self.share = 1.0 / (scale * len(rows))
        self.functions = _functions(problem)
        self._known: dict[Node, Wanted] = {}
        self.plants = plants
        with np.errstate(all="ignore"):
            values = np.array([self._value(tree) for tree in plants.trees]).reshape(-1, len(rows))
        self.plant_values, self.plant_finite = _cleaned(values)

    def wanted(self, trees: Iterable[Node]) -> list[Wanted]:
        """Return what the nodes of some trees should be."""
        distinct = list(trees)
        if len(self._known) > KEPT_TREES:
            self._known.clear()
        new = [tree for tree in distinct if tree not in self._known]
        if new:
            self._known.update(zip(new, self._looked_at(new), strict=True))
        return [self._known[tree] for tree in distinct]

    def _looked_at(self, trees: Sequence[Node]) -> list[Wanted]:
        ends = np.cumsum([tree.size for tree in trees])
        starts = ends - [tree.size for tree in trees]
        values, aims, slopes = (np.empty((int(ends[-1]), len(self.y))) for _ in range(3))
        parts = [list(tree) for tree in trees]
        with np.errstate(all="ignore"):
            for own, a, b in zip(parts, starts, ends, strict=True):
                self._pass(own, values[a:b], aims[a:b], slopes[a:b])
            weights = np.square(slopes, out=slopes)
            weights *= self.share
            idle = weights == 0  # Whatever stands there, the error stays.
            unknown = ~(idle | np.isfinite(aims) & np.isfinite(weights))
            aims[unknown | idle] = weights[unknown] = 0.0
            weighted = weights * aims
            errors = np.square(values[starts] - self.y) * self.share
            rest = np.einsum("ij,ij->i", weighted, aims)
            rest += np.einsum("ij,ij->i", idle, np.repeat(errors, ends - starts, axis=0))
        kept, finite = _cleaned(values)
        useless = (unknown.mean(axis=1) > 1 - NEEDED) | ~np.isfinite(rest)
        rest[useless] = np.inf
        each = zip(parts, map(slice, starts, ends), strict=True)
        return [Wanted(own, kept[at], finite[at], weights[at], weighted[at], rest[at]) for own, at in each]

    def _value(self, tree: Node) -> Array:
        if tree.children:
            return self.functions[tree.operator or ""](*map(self._value, tree.children))
        if tree.index is not None:
            return self.columns[tree.index]  # type: ignore[no-any-return]
        return np.full(self.y.shape, 1.0 if tree.value is None or np.isnan(tree.value) else tree.value)

    def _pass(self, parts: Sequence[Node], values: Array, aims: Array, slopes: Array) -> None:
        """Fill in the values of a tree's nodes, leaves first, then what they should be, from the root."""
        operands: list[list[int]] = [[] for _ in parts]
        waiting: list[int] = []
        for i in range(len(parts) - 1, -1, -1):
            node = parts[i]
            if node.children:
                own = operands[i] = [waiting.pop() for _ in node.children]
                values[i] = self.functions[node.operator or ""](*[values[k] for k in own])
            else:
                values[i] = self.columns[node.index] if node.index is not None else node.value
            waiting.append(i)
        aims[0], slopes[0] = self.y, 1.0
        for i, own in enumerate(operands):
            if own:
                self._pull(parts[i].operator or "", i, own, values, aims, slopes)

    def _pull(self, name: str, at: int, own: Sequence[int], values: Array, aims: Array, slopes: Array) -> None:
        """Tell the operands of a node what they should be."""
        arguments, value, aim, slope = [values[k] for k in own], values[at], aims[at], slopes[at]
        pullbacks = OPERATORS[name].pullbacks if name in OPERATORS else ()
        if name == "/":
            numerator, denominator = arguments
            slopes[own[0]] = slope / denominator
            aims[own[0]] = aim * denominator
            aims[own[1]] = wished = numerator / aim
            slopes[own[1]] = slope * numerator / (wished * wished)
        elif name in _INVERSES:
            aims[own[0]] = wished = _INVERSES[name](aim)
            slopes[own[0]] = pullbacks[0](slope, wished, aim)
        elif not pullbacks:
            for k in own:
                aims[k] = slopes[k] = np.nan
        else:
            for k, pullback in zip(own, pullbacks, strict=True):
                one = pullback(1.0, *arguments, value)
                slopes[k] = slope * one
                aims[k] = values[k] + (aim - value) / one


class Plants:
    """Small trees that are tried in every place, and what their beginnings lead to.

    Parameters
    ----------
    symbols : sequence of tuple of int
        Of each tree, in prefix order; sorted.
    trees : sequence of Node
    count : int
        Of symbols in the language.

    Attributes
    ----------
    table : int array, shape (beginnings + 1, symbols)
        The beginning that a symbol makes of a beginning, -1 for none.  0 is the empty one; the last leads nowhere.
    """

    def __init__(self, symbols: Sequence[tuple[int, ...]], trees: Sequence[Node], count: int) -> None:
        self.trees = trees
        numbers: dict[tuple[int, ...], int] = {(): 0}
        self._groups: list[tuple[Ints, Ints]] = []
        for length in range(1, max(map(len, symbols), default=0) + 1):
            columns = [i for i, own in enumerate(symbols) if len(own) >= length]
            firsts: dict[tuple[int, ...], int] = {}
            for at, i in enumerate(columns):
                firsts.setdefault(symbols[i][:length], at)
            numbers.update({path: len(numbers) + k for k, path in enumerate(firsts)})
            self._groups.append((np.array(columns), np.array(list(firsts.values()))))
        self.table: Ints = np.full((len(numbers) + 1, count), -1)
        for path, number in numbers.items():
            if path:
                self.table[numbers[path[:-1]], path[-1]] = number

    def lowest(self, losses: Array) -> Array:
        """Return the lowest loss that each beginning can lead to; shape (nodes, beginnings), infinite for unknown ones.

        Parameters
        ----------
        losses : array, shape (nodes, trees)
        """
        unknown = np.full((len(losses), 1), np.inf)
        ends = [np.minimum.reduceat(losses[:, columns], firsts, axis=1) for columns, firsts in self._groups]
        first = losses.min(axis=1, initial=np.inf)[:, None]
        return np.concatenate([first, *ends, unknown], axis=1)


class Outlook:
    """A population's prospects: for every node of its distinct trees, the loss with something else in its place.

    Parameters
    ----------
    foresight : Foresight
    trees : sequence of Node
        Of the members.
    best : float
        Lowest loss of the population, relative.

    Attributes
    ----------
    tree_of : int array, shape (members,)
        The distinct tree of each member.
    starts : int array, shape (trees,)
        Where the nodes of each distinct tree begin.
    planted : array, shape (nodes, beginnings)
        Prospects with a small tree of `Plants` in place of each node; see `told`.
    mated : array, shape (nodes, trees)
        With the best node of each tree.
    flat : array, shape (nodes,)
        With the mean of its own values: nothing is lost where the node does not matter.
    """

    def __init__(self, foresight: Foresight, trees: Sequence[Node], best: float) -> None:
        self.best = best
        numbers: dict[Node, int] = {}
        self.tree_of: Ints = np.array([numbers.setdefault(tree, len(numbers)) for tree in trees])
        own = foresight.wanted(numbers)
        sizes = np.array([len(each.parts) for each in own])
        self.starts: Ints = np.cumsum(sizes) - sizes
        known: dict[Node, int] = {}
        self._part: Ints = np.array([known.setdefault(part, len(known)) for each in own for part in each.parts])
        values, finite, weights, aims, rest = (np.concatenate([each[i] for each in own]) for i in range(1, 6))
        _, at = np.unique(self._part, return_index=True)
        first = len(foresight.plant_values)
        candidates = np.concatenate([foresight.plant_values, values[at]])
        with np.errstate(all="ignore"):
            losses = aims @ candidates.T
            losses *= -2.0
            losses += weights @ np.square(candidates).T
            losses += rest[:, None]
        losses[:, ~np.concatenate([foresight.plant_finite, finite[at]])] = np.inf
        np.copyto(losses, np.inf, where=np.isnan(losses))
        self._parted = losses[:, first:]
        self.planted = self.told(foresight.plants.lowest(losses[:, :first]))
        ends = self.starts + sizes
        blocks = [self._parted[:, self._part[a:b]].min(axis=1) for a, b in zip(self.starts, ends, strict=True)]
        self.mated = self.told(np.stack(blocks, axis=1))
        means = values.mean(axis=1)
        with np.errstate(all="ignore"):
            flat = weights.sum(axis=1) * means * means - 2.0 * aims.sum(axis=1) * means + rest
        self.flat = self.told(np.where(finite & ~np.isnan(flat), flat, np.inf))

    def told(self, losses: Array) -> Array:
        """Return how far losses are below the population's lowest, in natural logarithms, bounded and divided by 5."""
        return np.clip(np.log(self.best / np.clip(losses, LEAST, MOST)), LOWEST, HIGHEST) / 5

    def parted(self, nodes: Ints, others: Ints) -> Array:
        """Return the prospects of nodes with other nodes of the population in their place; shapes as of the indices."""
        return self.told(self._parted[nodes, self._part[others]])


def _functions(problem: Problem) -> dict[str, Callable[..., Array]]:
    def unknown(*arguments: Array) -> Array:
        return np.full(np.shape(arguments[0]), np.nan)

    return {name: IEEE.get(name, unknown) for name in problem.operators.names}


def _cleaned(values: Array) -> tuple[Array, Flags]:
    finite: Flags = np.isfinite(values).all(axis=1) & (np.abs(values).max(axis=1, initial=0.0) < 1e100)
    return np.where(finite[:, None], values, 0.0), finite

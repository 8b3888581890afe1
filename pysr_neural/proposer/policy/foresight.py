"""What the data say about changes that nobody has made yet: what a node should be, and who comes near to that.

Owns: the values that would make a tree right if they stood in place of one of its nodes, what the loss would then be
with other parts in that place.  Does not own: features (`population`), decisions (`walk`).

Going down from the root, y is taken through the inverse of every operator, and errors are weighed by its slope
(semantic backpropagation: Pawlak, Wieloch, Krawiec, IEEE Trans. Evol. Comput. 19, 2015; here with the weights of
Gauss and Newton).  Where the way up is affine in the node, or in the operator of one operand above it, the loss told is
exact; elsewhere it is exact where it is 0, and of first order beside that.  Of several inverses that is taken which is
nearest to what is there; operators without any are taken as linear about the present values.
Nothing is fitted: a constant that is still to be drawn stands as 1.  On `ROWS` rows at most, and by the arithmetic of
IEEE, which the guards of an engine may differ from.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS, Array, Function
from pysr_neural.problem import Problem
from pysr_neural.rng import generator

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ROWS = 32
"""Rows of the data that are looked at, at most."""
LEAST, MOST = 1e-12, 1e30
"""Relative losses below and above are not told apart."""
ROUNDING = 4 * float(np.finfo(np.float64).eps)
LOWEST, HIGHEST = -10.0, 25.0
MISSING = 0.1
"""Share of the rows at most on which a place may want nothing that can be told."""
KEPT_TREES = 3000
PAIRS = 4_000_000
"""Most pairs of a node and a part that are looked at: more would take seconds, and gigabytes."""
TURN = 2 * np.pi


def _unit(t: Array) -> Array:
    """Return what may be a sine, rounding mended."""
    return np.where(np.abs(t) < 1 + 1e-9, np.clip(t, -1, 1), np.nan)


def _near(turn: float, v: Array, *angles: Array) -> Array:
    """Return, of some angles and those whole turns away, what is nearest to v."""
    each = np.stack([angle + turn * np.round((v - angle) / turn) for angle in angles])
    nearest = np.abs(each - v).argmin(axis=0)[None]
    return np.take_along_axis(each, nearest, axis=0)[0]


_INVERSES: Mapping[str, Function] = {
    "inv": lambda t, v: 1.0 / t,
    "square": lambda t, v: np.copysign(np.sqrt(t), v),
    "cube": lambda t, v: np.cbrt(t),
    "sqrt": lambda t, v: np.where(t >= 0, t * t, np.nan),
    "exp": lambda t, v: np.log(t),
    "log": lambda t, v: np.exp(t),
    "tanh": lambda t, v: np.arctanh(t),
    "neg": lambda t, v: -t,
    "sin": lambda t, v: _near(TURN, v, angle := np.arcsin(_unit(t)), np.pi - angle),
    "cos": lambda t, v: _near(TURN, v, angle := np.arccos(_unit(t)), -angle),
    "tan": lambda t, v: _near(np.pi, v, np.arctan(t)),
}
"""From what an operator's value should be, and its argument as it is, to what that should be."""


_RIGHT: Mapping[str, tuple[tuple[Function, Function], ...]] = {
    "+": ((lambda t, a, b: t - b, lambda g, w, a, b: g), (lambda t, a, b: t - a, lambda g, w, a, b: g)),
    "-": ((lambda t, a, b: t + b, lambda g, w, a, b: g), (lambda t, a, b: a - t, lambda g, w, a, b: g)),
    "*": ((lambda t, a, b: t / b, lambda g, w, a, b: g * b), (lambda t, a, b: t / a, lambda g, w, a, b: g * a)),
    "/": (
        (lambda t, a, b: t * b, lambda g, w, a, b: g / b),
        (lambda t, a, b: a / t, lambda g, w, a, b: g * a / (w * w)),
    ),
}
"""What each operand should be, from what the whole should be and the operands; the slope there, up to its sign."""


class Wanted(NamedTuple):
    """What the nodes of a tree are and should be, in prefix order.

    Parameters
    ----------
    parts : list of Node
    unary : list of (str, int)
        Which nodes have one operand, by operator.
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
    unary: list[tuple[str, int]]
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
        rows = np.sort(generator(0, "foresight").permutation(len(problem.y))[:ROWS])  # Even steps could miss a grid.
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
        parts = [list(tree) for tree in trees]
        ends = np.cumsum([len(own) for own in parts])
        starts = ends - [len(own) for own in parts]
        with np.errstate(all="ignore"):
            values, aims, slopes = self._pass([node for own in parts for node in own], starts)
            weights = np.square(slopes, out=slopes)
            weights *= self.share
            idle = weights == 0
            unknown = ~(idle | np.isfinite(aims) & np.isfinite(weights))
            still = unknown | idle  # Whatever stands there, the error stays.
            aims[still] = weights[unknown] = 0.0
            weighted = weights * aims
            rest = np.einsum("ij,ij->i", weighted, aims)
            if still.any():
                errors = np.square(values[starts] - self.y) * self.share
                rest += np.where(still, np.repeat(errors, ends - starts, axis=0), 0.0).sum(axis=1)
        kept, finite = _cleaned(values)
        useless = (unknown.sum(axis=1) > MISSING * len(self.y)) | ~np.isfinite(rest)
        rest[useless] = np.inf
        each = zip(parts, map(slice, starts, ends), strict=True)
        return [Wanted(own, _unary(own), kept[at], finite[at], weights[at], weighted[at], rest[at]) for own, at in each]

    def _value(self, tree: Node) -> Array:
        if tree.children:
            return self.functions[tree.operator or ""](*map(self._value, tree.children))
        if tree.index is not None:
            return self.columns[tree.index]  # type: ignore[no-any-return]
        return np.full(self.y.shape, 1.0 if tree.value is None or np.isnan(tree.value) else tree.value)

    def _pass(self, nodes: Sequence[Node], roots: Ints) -> tuple[Array, Array, Array]:
        """Return the values of the nodes of some trees, and what they should be, with the slopes there.

        The nodes of one operator and height are evaluated together, those of one operator and level told together.
        """
        values, aims, slopes = (np.empty((len(nodes), len(self.y))) for _ in range(3))
        sizes, levels = np.array([node.size for node in nodes]), [0] * len(nodes)
        up: dict[tuple[int, str, int], list[int]] = defaultdict(list)
        down: dict[tuple[int, str, int], list[int]] = defaultdict(list)
        variables: list[tuple[int, int]] = []
        for i, node in enumerate(nodes):
            if node.children:
                own, at = (node.operator or "", len(node.children)), i + 1
                up[node.depth, *own].append(i)
                down[levels[i], *own].append(i)
                for child in node.children:
                    levels[at] = levels[i] + 1
                    at += child.size
            elif node.index is not None:
                variables.append((i, node.index))
            else:
                values[i] = node.value
        if variables:
            where, which = np.array(variables).T
            values[where] = self.columns[which]
        for key in sorted(up):
            group = np.array(up[key])
            values[group] = self.functions[key[1]](*[values[k] for k in _operands(group, sizes, key[2])])
        aims[roots], slopes[roots] = self.y, 1.0
        for key in sorted(down):
            group = np.array(down[key])
            _pull(key[1], group, _operands(group, sizes, key[2]), values, aims, slopes)
        return values, aims, slopes


def _unary(parts: Sequence[Node]) -> list[tuple[str, int]]:
    return [(node.operator or "", i) for i, node in enumerate(parts) if len(node.children) == 1]


def _operands(group: Ints, sizes: Ints, arity: int) -> list[Ints]:
    """Return where each operand of some nodes is, all nodes being in prefix order."""
    found = [group + 1]
    while len(found) < arity:
        found.append(found[-1] + sizes[found[-1]])
    return found


def _pull(name: str, at: Ints, own: Sequence[Ints], values: Array, aims: Array, slopes: Array) -> None:
    """Tell the operands of some nodes, all of one operator, what they should be."""
    arguments, value, aim, slope = [values[k] for k in own], values[at], aims[at], slopes[at]
    pullbacks = OPERATORS[name].pullbacks if name in OPERATORS else ()
    if name in _RIGHT:
        for k, (right, weight) in zip(own, _RIGHT[name], strict=True):
            aims[k] = wished = right(aim, *arguments)
            slopes[k] = weight(slope, wished, *arguments)
    elif name in _INVERSES:
        aims[own[0]] = wished = _INVERSES[name](aim, arguments[0])
        slopes[own[0]] = pullbacks[0](slope, wished, aim)
    elif not pullbacks:
        for k in own:
            aims[k] = slopes[k] = np.nan
    else:
        for k, argument, pullback in zip(own, arguments, pullbacks, strict=True):
            one = pullback(1.0, *arguments, value)
            slopes[k] = slope * one
            aims[k] = argument + (aim - value) / one


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
        With the best node of each tree; nothing is told where nodes times parts are more than `PAIRS`.
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
        values, finite, weights, aims, rest = (np.concatenate([each[i] for each in own]) for i in range(2, 7))
        _, at = np.unique(self._part, return_index=True)
        self.crowded = len(values) * len(at) > PAIRS
        at = at[: 0 if self.crowded else None]
        first = len(foresight.plant_values)
        candidates = np.concatenate([foresight.plant_values, values[at]])
        unusable = ~np.concatenate([foresight.plant_finite, finite[at]])
        losses = _losses(weights, aims, rest, candidates, unusable)
        below: dict[str, list[int]] = defaultdict(list)
        for each, start in zip(own, self.starts.tolist(), strict=True):
            for name, i in each.unary:
                below[name].append(start + i)
        for name, nodes in below.items():  # What stands below is tried with the operator, so that all of it is exact.
            with np.errstate(all="ignore"):
                made, usable = _cleaned(foresight.functions[name](candidates))
            above = np.array(nodes)
            losses[above + 1] = _losses(weights[above], aims[above], rest[above], made, unusable | ~usable)
        self._parted = losses[:, first:]
        self.planted = self.told(foresight.plants.lowest(losses[:, :first]))
        self.mated: Array = np.full((len(values), len(numbers)), LOWEST / 5)
        if not self.crowded:
            for i, (a, b) in enumerate(zip(self.starts, self.starts + sizes, strict=True)):
                self.mated[:, i] = self.told(self._parted[:, self._part[a:b]].min(axis=1))
        means = values.mean(axis=1)
        with np.errstate(all="ignore"):
            flat = weights.sum(axis=1) * means * means + rest
            flat = np.maximum(flat - 2.0 * aims.sum(axis=1) * means, ROUNDING * flat)
        self.flat = self.told(np.where(finite & ~np.isnan(flat), flat, np.inf))

    def told(self, losses: Array) -> Array:
        """Return how far losses are below the population's lowest, in natural logarithms, bounded and divided by 5."""
        return np.clip(np.log(self.best / np.clip(losses, LEAST, MOST)), LOWEST, HIGHEST) / 5

    def parted(self, nodes: Ints, others: Ints) -> Array:
        """Return the prospects of nodes with other nodes of the population in their place; shapes as of the indices."""
        if self.crowded:
            return np.full(np.broadcast_shapes(nodes.shape, others.shape), LOWEST / 5)
        return self.told(self._parted[nodes, self._part[others]])


def _losses(weights: Array, aims: Array, rest: Array, candidates: Array, unusable: Flags) -> Array:
    """Return the losses with each candidate in place of each node, infinite where that is not known."""
    with np.errstate(all="ignore"):
        losses = weights @ np.square(candidates).T
        losses += rest[:, None]
        told = ROUNDING * losses  # No less can be told from so large terms.
        losses -= 2.0 * (aims @ candidates.T)
        np.maximum(losses, told, out=losses)
    losses[:, unusable] = np.inf
    np.copyto(losses, np.inf, where=np.isnan(losses))
    return losses


def _functions(problem: Problem) -> dict[str, Callable[..., Array]]:
    def unknown(*arguments: Array) -> Array:
        return np.full(np.shape(arguments[0]), np.nan)

    named = zip(problem.operators.names, problem.operators.arities, strict=True)
    known = {name for name, arity in named if name in OPERATORS and OPERATORS[name].arity == arity}
    return {name: IEEE[name] if name in known else unknown for name in problem.operators.names}


def _cleaned(values: Array) -> tuple[Array, Flags]:
    finite: Flags = np.isfinite(values).all(axis=1) & (np.abs(values).max(axis=1, initial=0.0) < 1e100)
    return np.where(finite[:, None], values, 0.0), finite

"""What the data say about changes that nobody has made yet: what a node should be, and who comes near to that.

Owns: the values that would make a tree right if they stood in place of one of its nodes, the small trees
that are tried in every place.  Does not own: the losses with other parts in their place (`outlook`), features
(`population`), decisions (`walk`).

Going down from the root, y is taken through the inverse of every operator, and errors are weighed by its slope
(semantic backpropagation: Pawlak, Wieloch, Krawiec, IEEE Trans. Evol. Comput. 19, 2015; here with the weights of
Gauss and Newton).  Where the way up is affine in the node, or in the operator of one operand above it, the loss told is
exact; elsewhere it is exact where it is 0, and of first order beside that.  Of several inverses that is taken which is
nearest to what is there; operators without any are taken as linear about the present values.
Nothing is fitted: a constant that is still to be drawn stands as 1.  On `ROWS` rows at most, and by the arithmetic of
IEEE, which the guards of an engine may differ from.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS, Array, Function
from pysr_neural.problem import Problem
from pysr_neural.proposer.policy.shapes import ARITY, HEIGHT, SIZE, TOKEN, Shape, operands
from pysr_neural.rng import generator

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Losses = npt.NDArray[np.floating]

ROWS = 32
"""Rows of the data that are looked at, at most."""
MISSING = 0.1
"""Share of the rows at most on which a place may want nothing that can be told."""
KEPT_TREES = 3000
TURN = 2 * np.pi


def _unit(t: Array) -> Array:
    """Return what may be a sine, rounding mended."""
    return np.where(np.abs(t) < 1 + 1e-9, np.clip(t, -1, 1), np.nan)


def _near(turn: float, v: Array, angle: Array) -> Array:
    """Return, of an angle and those whole turns away, what is nearest to v."""
    return angle + turn * np.round((v - angle) / turn)  # type: ignore[no-any-return]


def _nearer(v: Array, angle: Array, other: Array) -> Array:
    """Return, of two angles and those whole turns away, what is nearest to v."""
    first, second = _near(TURN, v, angle), _near(TURN, v, other)
    return np.where(np.abs(second - v) < np.abs(first - v), second, first)


_INVERSES: Mapping[str, Function] = {
    "inv": lambda t, v: 1.0 / t,
    "square": lambda t, v: np.copysign(np.sqrt(t), v),
    "cube": lambda t, v: np.cbrt(t),
    "sqrt": lambda t, v: np.where(t >= 0, t * t, np.nan),
    "exp": lambda t, v: np.log(t),
    "log": lambda t, v: np.exp(t),
    "tanh": lambda t, v: np.arctanh(t),
    "neg": lambda t, v: -t,
    "sin": lambda t, v: _nearer(v, angle := np.arcsin(_unit(t)), np.pi - angle),
    "cos": lambda t, v: _nearer(v, angle := np.arccos(_unit(t)), -angle),
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
    values : array, shape (nodes, rows)
        Of the nodes as they are; 0 where not finite.
    finite : bool array, shape (nodes,)
        Whether a node's values are.
    forms : array, shape (nodes, 2 * rows)
        With values v in place of node i the relative loss is ``rest[i] + forms[i] @ [v**2, v]``.
    rest : array, shape (nodes,)
        Infinite where nothing can be told.
    """

    values: Array
    finite: Flags
    forms: Array
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
        self.operators = _operators(problem)
        self.first_operator = 1 + len(self.columns)
        self._known: dict[Node, Wanted] = {}
        self.plants = plants
        with np.errstate(all="ignore"):
            named = {(each.name, each.arity): each.function for each in self.operators}
            values = np.array([self._value(tree, named) for tree in plants.trees]).reshape(-1, len(rows))
        self.plant_values, self.plant_finite = cleaned(values)

    def wanted(self, trees: Mapping[Node, Shape]) -> list[Wanted]:
        """Return what the nodes of some trees should be."""
        if len(self._known) > KEPT_TREES:
            self._known.clear()
        new = {tree: shape for tree, shape in trees.items() if tree not in self._known}
        if new:
            self._known.update(zip(new, self._looked_at(list(new.values())), strict=True))
        return [self._known[tree] for tree in trees]

    def _looked_at(self, shapes: Sequence[Shape]) -> list[Wanted]:
        rows = np.concatenate([shape.rows for shape in shapes]).astype(np.int64)
        ends = np.cumsum([len(shape.rows) for shape in shapes])
        starts = ends - [len(shape.rows) for shape in shapes]
        with np.errstate(all="ignore"):
            values, aims, slopes = self._pass([node for shape in shapes for node in shape.nodes], rows, starts)
            forms = np.empty((len(rows), 2 * len(self.y)))
            weights, linear = forms[:, : len(self.y)], forms[:, len(self.y) :]
            np.square(slopes, out=weights)
            weights *= self.share
            idle = weights == 0
            unknown = ~(idle | np.isfinite(aims) & np.isfinite(weights))
            still = unknown | idle  # Whatever stands there, the error stays.
            aims[still] = weights[unknown] = 0.0
            np.multiply(weights, aims, out=linear)
            rest = np.einsum("ij,ij->i", linear, aims)
            linear *= -2.0
            if still.any():
                errors = np.square(values[starts] - self.y) * self.share
                rest += np.where(still, np.repeat(errors, ends - starts, axis=0), 0.0).sum(axis=1)
        kept, finite = cleaned(values)
        useless = (unknown.sum(axis=1) > MISSING * len(self.y)) | ~np.isfinite(rest)
        rest[useless] = np.inf
        each = map(slice, starts.tolist(), ends.tolist())
        return [Wanted(kept[at], finite[at], forms[at], rest[at]) for at in each]

    def _value(self, tree: Node, named: Mapping[tuple[str, int], Callable[..., Array]]) -> Array:
        if tree.children:
            own = [self._value(child, named) for child in tree.children]
            return named[tree.operator or "", len(own)](*own)
        if tree.index is not None:
            return self.columns[tree.index]  # type: ignore[no-any-return]
        return np.full(self.y.shape, 1.0 if tree.value is None or np.isnan(tree.value) else tree.value)

    def _pass(self, nodes: Sequence[Node], rows: Ints, roots: Ints) -> tuple[Array, Array, Array]:
        """Return the values of the nodes of some trees, and what they should be, with the slopes there.

        The nodes of one operator and height are evaluated together on the way up, and told together on the way down.
        """
        values, aims, slopes = (np.empty((len(nodes), len(self.y))) for _ in range(3))
        tokens = rows[:, TOKEN]
        constants = np.flatnonzero(tokens == 0)
        values[constants] = np.array([nodes[i].value for i in constants.tolist()], dtype=float)[:, None]
        variables = np.flatnonzero((tokens > 0) & (tokens < self.first_operator))
        values[variables] = self.columns[tokens[variables] - 1]
        groups = self._groups(rows)
        for own, at, below in groups:
            values[at] = own.function(*[values[k] for k in below])
        aims[roots], slopes[roots] = self.y, 1.0
        for own, at, below in reversed(groups):
            _pull(own, at, below, values, aims, slopes)
        return values, aims, slopes

    def _groups(self, rows: Ints) -> list[tuple["_Known", Ints, list[Ints]]]:
        """Return nodes of like operator and height together, the lowest first, with their operands."""
        inner = np.flatnonzero(rows[:, ARITY])
        keys = rows[inner, HEIGHT] * (self.first_operator + len(self.operators)) + rows[inner, TOKEN]
        order = np.argsort(keys, kind="stable")
        inner, keys = inner[order], keys[order]
        below = operands(inner, rows[:, SIZE], rows[inner, ARITY])
        bounds = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(inner)]
        groups = []
        for a, b in pairwise(bounds):
            if a < b:
                own = self.operators[rows[inner[a], TOKEN] - self.first_operator]
                groups.append((own, inner[a:b], [each[a:b] for each in below[: own.arity]]))
        return groups


class _Known(NamedTuple):
    """An operator of a search: with its function, if the table knows it; otherwise nothing is known of its values."""

    name: str
    arity: int
    function: Callable[..., Array]
    known: bool


def _pull(own: _Known, at: Ints, below: Sequence[Ints], values: Array, aims: Array, slopes: Array) -> None:
    """Tell the operands of some nodes, all of one operator, what they should be."""
    arguments, aim, slope = [values[k] for k in below], aims[at], slopes[at]
    pullbacks = OPERATORS[own.name].pullbacks if own.known else ()
    if not own.known or (not pullbacks and own.name not in _RIGHT and own.name not in _INVERSES):
        for k in below:
            aims[k] = slopes[k] = np.nan
    elif own.name in _RIGHT:
        for k, (right, weight) in zip(below, _RIGHT[own.name], strict=True):
            aims[k] = wished = right(aim, *arguments)
            slopes[k] = weight(slope, wished, *arguments)
    elif own.name in _INVERSES:
        aims[below[0]] = wished = _INVERSES[own.name](aim, arguments[0])
        slopes[below[0]] = pullbacks[0](slope, wished, aim)
    else:
        value = values[at]
        for k, argument, pullback in zip(below, arguments, pullbacks, strict=True):
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

    def lowest(self, losses: Losses) -> Losses:
        """Return the lowest loss that each beginning can lead to; shape (nodes, beginnings), infinite for unknown ones.

        Parameters
        ----------
        losses : array, shape (nodes, trees)
        """
        unknown = np.full((len(losses), 1), np.inf)
        ends = [np.minimum.reduceat(losses[:, columns], firsts, axis=1) for columns, firsts in self._groups]
        first = losses.min(axis=1, initial=np.inf)[:, None]
        return np.concatenate([first, *ends, unknown], axis=1)


def _operators(problem: Problem) -> list[_Known]:
    def unknown(*arguments: Array) -> Array:
        return np.full(np.shape(arguments[0]), np.nan)

    named = zip(problem.operators.names, problem.operators.arities, strict=True)
    found = [(name, arity, name in OPERATORS and OPERATORS[name].arity == arity) for name, arity in named]
    return [_Known(name, arity, IEEE[name] if known else unknown, known) for name, arity, known in found]


def cleaned(values: Array) -> tuple[Array, Flags]:
    """Return values with rows of 0 in place of those that are not finite, or beyond all use; and which are."""
    finite: Flags = np.abs(values).max(axis=1, initial=0.0) < 1e100  # Not of NaN either.
    return values if finite.all() else np.where(finite[:, None], values, 0.0), finite

"""Values and exact derivatives of what depends on parameters, over all rows and many parameter sets at once.

Owns: the steps of a calculation, their values, and reverse-mode differentiation over them.  Does not own: what the
parameters are (`expression.forms`), the derivatives of operators (`operators`).

Rows are independent of each other, so one sweep back over the steps gives the whole Jacobian: the part that reaches a
parameter is its column.  What does not depend on parameters is evaluated once, when it is put on the tape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from types import MappingProxyType

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS, Array

Functions = Mapping[str, Callable[..., Array]]
Pullback = Callable[..., Array] | None
Step = tuple[Callable[..., Array], int, tuple[int, ...], tuple[tuple[int, Callable[..., Array]], ...]]
"""Function, the slot of its value, those of its arguments; those of them that depend on parameters, with pullbacks."""

ONE = 0
"""The slot of the number 1 on every row."""
LOG_FACTORS: Mapping[str, float] = MappingProxyType(
    {"neg": 1.0, "abs": 1.0, "inv": -1.0, "sqrt": 0.5, "square": 2.0, "cube": 3.0}
)
"""By function: what the logarithm of its value is of that of its argument."""
DIFFERENCE = 2.0**-17
"""Relative step of central differences, for operators whose derivative the table does not know."""


class Tape:
    """A calculation on columns of data, in slots.

    Parameters
    ----------
    columns : array, shape (features, rows)
    functions : mapping
        Operator name to NumPy function.
    memory : dict, optional
        Values of subtrees without constants, which the tapes of one data set may share.

    Attributes
    ----------
    values : list of array
        By slot; of slots that depend on parameters, those of the last `run`.
    start : list of float
        By parameter: where it stands in the given tree.
    places : list of int
        By parameter, of a tape that `needed` returned: its place among those of the whole.
    origins : list of tuple
        By parameter: for a coefficient the slots of what it multiplies and of what it is added to (-1: nothing); for
        an exponent ``(-1, the base's slot)``.
    """

    def __init__(self, columns: Array, functions: Functions, memory: dict[Node, Array] | None = None) -> None:
        self.columns, self.functions = columns, functions
        self.memory: dict[Node, Array] = {} if memory is None else memory
        self.values: list[Array] = [np.ones(columns.shape[1])]
        self.depends = [False]
        self.steps: list[Step] = []
        self.parameters: list[int] = []
        self.start: list[float] = []
        self.origins: list[tuple[int, int]] = []
        self.places: list[int] = []
        self._known: dict[Node, int] = {}
        self._sums: dict[int, tuple[int, list[int], list[int]]] = {}
        self._made: dict[int, tuple[str, tuple[int, ...]]] = {}
        """By slot: how a value that depends on parameters was made, where that tells its logarithm."""

    def known(self, node: Node) -> int:
        """Return the slot of a subtree without constants."""
        slot = self._known.get(node)
        if slot is None:
            slot = self._known[node] = self._add(self._value(node), False)
        return slot

    def _value(self, node: Node) -> Array:
        value = self.memory.get(node)
        if value is None:
            if node.index is not None:
                value = self.columns[node.index]
            else:
                value = self.functions[str(node.operator)](*[self._value(child) for child in node.children])
            self.memory[node] = value
        return value

    def apply(self, name: str, *sources: int) -> int:
        """Return the slot of an operator over slots."""
        function, row = self.functions[name], OPERATORS.get(name)
        if row is not None:
            return self._as(name, sources, self.step(function, sources, row.pullbacks))
        return self.step(function, sources, tuple([_differences(function, i) for i in range(len(sources))]))

    def step(self, function: Callable[..., Array], sources: tuple[int, ...], pullbacks: tuple[Pullback, ...]) -> int:
        """Return the slot of a function of slots; one that depends on no parameter is evaluated at once."""
        depends, values = self.depends, self.values
        back = tuple([each for each in zip(sources, pullbacks, strict=True) if depends[each[0]]])
        if not back:
            return self._add(function(*[values[source] for source in sources]), False)
        slot = self._add(values[0], True)
        self.steps.append((function, slot, sources, tuple([each for each in back if each[1] is not None])))
        return slot

    def times(self, left: int, right: int) -> int:
        """Return the slot of a product."""
        if ONE in (left, right):
            return right if left == ONE else left
        return self._as("*", (left, right), self.step(np.multiply, (left, right), _TIMES))

    def plus(self, left: int, right: int) -> int:
        """Return the slot of a sum."""
        return self.step(np.add, (left, right), _PLUS)

    def negative(self, slot: int) -> int:
        """Return the slot of a value's negative."""
        return self._as("neg", (slot,), self.step(np.negative, (slot,), OPERATORS["neg"].pullbacks))

    def scaled(self, slot: int, factor: float) -> int:
        """Return the slot of a number times a value."""
        if factor == 1.0:
            return slot
        return self.step(lambda a: factor * a, (slot,), (lambda g, a, v: factor * g,))

    def log_size(self, slot: int) -> int:
        """Return the slot of the logarithm of a value's size."""
        return self.step(_log_size, (slot,), (lambda g, a, v: g / a,))

    def reciprocal(self, slot: int) -> int:
        """Return the slot of 1 over a value, by the search's own division."""
        return self._as("inv", (slot,), self.step(self.functions["/"], (ONE, slot), OPERATORS["/"].pullbacks))

    def power(self, base: int, exponent: int) -> int:
        """Return the slot of a power whose exponent is a parameter; the logarithm of a known base is taken once."""
        logs = self.log_size(base)
        negative = self.step(_is_negative, (base,), (None,))
        if not self.depends[base] and not self.values[negative].any():
            slot = self.step(_positive_power, (logs, exponent), (None, _exponent_slope))
        else:
            slot = self.step(_power, (logs, exponent, negative), (_log_slope, _exponent_slope, None))
        return self._as("^", (base, exponent), slot)

    def _as(self, name: str, sources: tuple[int, ...], slot: int) -> int:
        if self.depends[slot]:
            self._made[slot] = name, sources
        return slot

    def logarithm(self, slot: int) -> tuple[int, list[int], list[int]]:
        """Return the logarithm of a value's size as ``fixed + Σ parameter · core``, as far as powers and products go.

        Returns
        -------
        fixed : int
            Slot; -1 for none.
        cores, places : list of int
            Slots, and places of parameters, each at most once.
        """
        fixed, cores, places = -1, list[int](), list[int]()
        pending = [(slot, 1.0)]
        while pending:
            slot, factor = pending.pop()
            name, sources = self._made.get(slot, ("", ()))
            if name == "*":
                pending += [(source, factor) for source in sources]
            elif name in LOG_FACTORS:
                pending.append((sources[0], factor * LOG_FACTORS[name]))
            elif name == "^" and self._place(sources[1]) not in places:
                log, parts, _ = self.logarithm(sources[0])
                if parts:
                    log = self.log_size(sources[0])
                cores.append(self.scaled(log, factor))
                places.append(self._place(sources[1]))
            elif name == "exp" and sources[0] in self._sums:
                rest, coefficients, factors = self._sums[sources[0]]
                cores += [self.scaled(core, factor) for core in factors]
                places += [self._place(coefficient) for coefficient in coefficients]
                if rest != -1:
                    fixed = self._added(fixed, rest, factor)
            else:
                fixed = self._added(fixed, self.log_size(slot), factor)
        return fixed, cores, places

    def _added(self, total: int, slot: int, factor: float) -> int:
        term = self.scaled(slot, factor)
        return term if total == -1 else self.plus(total, term)

    def _place(self, slot: int) -> int:
        return self.parameters.index(slot)

    def parameter(self, start: float, core: int, rest: int) -> int:
        """Return the slot of a new parameter; `core` and `rest` are its origin, see the attributes."""
        slot = self._add(np.float64(start), True)  # type: ignore[arg-type]
        self.parameters.append(slot)
        self.start.append(start)
        self.origins.append((core, rest))
        return slot

    def weighted(self, rest: int, coefficients: list[int], cores: list[int]) -> int:
        """Return the slot of ``rest + Σ coefficient · core``; a rest of -1 is nothing."""
        total = rest
        for coefficient, core in zip(coefficients, cores, strict=True):
            term = self.times(coefficient, core)
            total = term if total == -1 else self.plus(total, term)
        self._sums[total] = rest, coefficients, cores
        return total

    def run(self, parameters: Array) -> None:
        """Set all values for parameters of shape (k,), or for several sets of them, shape (sets, k), at once."""
        values = self.values
        given = parameters if parameters.ndim == 1 else parameters.T[:, :, None]
        for slot, value in zip(self.parameters, given, strict=True):
            values[slot] = value
        for function, target, sources, _ in self.steps:
            if len(sources) == 2:
                values[target] = function(values[sources[0]], values[sources[1]])
            else:
                values[target] = function(*[values[source] for source in sources])

    def run_relative(self, relative: Array) -> Array:
        """Set all values for several sets of parameters, shape (sets, k), in which coefficients are relative.

        A coefficient is one of the largest |rest| over the largest |core| of its origin; exponents are as given.

        Returns
        -------
        array, shape (sets, k)
            The parameters.
        """
        values, thetas = self.values, relative.copy()
        pending = {slot: place for place, slot in enumerate(self.parameters)}
        for function, target, sources, _ in self.steps:
            for source in sources:
                place = pending.pop(source, None)
                if place is not None:
                    core, rest = self.origins[place]
                    if core != -1:
                        above = 1.0 if rest == -1 else _largest(values[rest])
                        size = above / _largest(values[core])
                        thetas[:, place] *= np.where(np.isfinite(size) & (size > 0), size, 1.0)
                    values[source] = thetas[:, place, None]
            values[target] = function(*[values[source] for source in sources])
        return thetas

    def pull(self, factors: Mapping[int, Array | float]) -> list[Array | None]:
        """Return, by parameter, the derivative of ``Σ factor · value`` over slots; None where it has no part in it.

        Values are those of the last `run`, of one set of parameters.
        """
        values = self.values
        pulled: dict[int, Array] = dict(factors)  # type: ignore[arg-type]
        for _, target, sources, back in reversed(self.steps):
            factor = pulled.get(target)
            if factor is None:
                continue
            arguments = [values[source] for source in sources]
            arguments.append(values[target])
            for source, pullback in back:
                part = pullback(factor, *arguments)
                pulled[source] = part if source not in pulled else pulled[source] + part
        return [pulled.get(slot) for slot in self.parameters]

    def needed(self, slots: Sequence[int], without: Sequence[int]) -> Tape:
        """Return a tape of only those steps and parameters that some slots need, some parameters left out."""
        part, wanted = copy(self), set(slots)
        steps = []
        for step in reversed(self.steps):
            if step[1] in wanted:
                steps.append(step)
                wanted.update(step[2])
        part.steps = steps[::-1]
        kept = [i for i, slot in enumerate(self.parameters) if slot in wanted and i not in without]
        part.places = kept
        part.parameters = [self.parameters[i] for i in kept]
        part.start, part.origins = [self.start[i] for i in kept], [self.origins[i] for i in kept]
        return part

    def on(self, rows: slice) -> Tape:
        """Return a tape of the same steps on some of the rows."""
        part = copy(self)
        part.values = list(self.values)
        whole = [i for i, depends in enumerate(self.depends) if not depends and self.values[i].ndim]
        floats = [i for i in whole if self.values[i].dtype == np.float64]
        fewer = np.ascontiguousarray(np.array([self.values[i] for i in floats])[:, rows])
        for i, value in zip(floats, fewer, strict=True):
            part.values[i] = value
        if len(floats) < len(whole):
            for i in set(whole).difference(floats):
                part.values[i] = self.values[i][rows]
        return part

    def _add(self, value: Array, depends: bool) -> int:
        self.values.append(value)
        self.depends.append(depends)
        return len(self.values) - 1


_TIMES, _PLUS = OPERATORS["*"].pullbacks, OPERATORS["+"].pullbacks


def _largest(values: Array) -> Array:
    size = np.abs(values)
    return np.where(np.isfinite(size), size, 0.0).max(axis=-1)


def _log_size(base: Array) -> Array:
    return np.log(np.abs(base))


def _is_negative(base: Array) -> Array:
    return base < 0


def _positive_power(logs: Array, exponent: Array) -> Array:
    return np.exp(exponent * logs)


def _power(logs: Array, exponent: Array, negative: Array) -> Array:
    """Return a power from its base's logarithm; NaN where the base is negative and the exponent no whole number."""
    size = np.exp(exponent * logs)
    whole = exponent == np.round(exponent)
    sign = np.where(whole, 1.0 - 2.0 * np.mod(exponent, 2.0), np.nan)
    if sign.ndim == 0 and sign == 1:
        return size
    return np.where(negative, sign * size, size)


def _log_slope(g: Array, logs: Array, exponent: Array, *rest: Array) -> Array:
    return g * (exponent * rest[-1])


def _exponent_slope(g: Array, logs: Array, exponent: Array, *rest: Array) -> Array:
    """Pull a factor back to an exponent; NaN, so that it stays, where a base is negative."""
    slope = rest[-1] * logs
    if len(rest) == 2 and rest[0].any():
        return np.full_like(slope, np.nan)
    return g * np.where(logs == -np.inf, 0.0, slope)


def _differences(function: Callable[..., Array], place: int) -> Pullback:
    def pullback(g: Array, *given: Array) -> Array:
        arguments = list(given[:-1])
        at = arguments[place]
        size = DIFFERENCE * np.maximum(np.abs(at), DIFFERENCE)
        arguments[place] = at + size
        above = function(*arguments)
        arguments[place] = at - size
        return g * ((above - function(*arguments)) / (2 * size))

    return pullback

"""Values and exact derivatives of what depends on parameters, over all rows and many parameter sets at once.

Owns: the steps of a calculation, their values, and reverse-mode differentiation over them.  Does not own: what the
parameters are (`expression.forms`), the derivatives of operators (`operators`).

Rows are independent of each other, so one sweep back over the steps gives the whole Jacobian: the part that reaches a
parameter is its column.  What does not depend on parameters is evaluated once, when it is put on the tape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pysr_neural.expression import steps
from pysr_neural.expression.evaluate import evaluate_remembering
from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS, Array

Functions = Mapping[str, Callable[..., Array]]
Pullback = Callable[..., Array] | None
Rows = slice | npt.NDArray[np.int64]
Step = tuple[Callable[..., Array], int, tuple[int, ...], tuple[tuple[int, Callable[..., Array]], ...]]
"""Function, the slot of its value, those of its arguments; those of them that depend on parameters, with pullbacks."""

ONE = 0
"""The slot of the number 1 on every row."""
_TIMES, _PLUS = OPERATORS["*"].pullbacks, OPERATORS["+"].pullbacks


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
    made, sums : dict
        By slot of a value that depends on parameters: operator and arguments; those of `weighted`.
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
        self.made: dict[int, tuple[str, tuple[int, ...]]] = {}
        self.sums: dict[int, tuple[int, list[int], list[int]]] = {}

    def known(self, node: Node) -> int:
        """Return the slot of a subtree without constants."""
        slot = self._known.get(node)
        if slot is None:
            value = evaluate_remembering(node, self.columns, self.functions, self.memory)
            slot = self._known[node] = self._add(value, False)
        return slot

    def apply(self, name: str, *sources: int) -> int:
        """Return the slot of an operator over slots."""
        function, row = self.functions[name], OPERATORS.get(name)
        if row is not None:
            return self._as(name, sources, self.step(function, sources, row.pullbacks))
        return self.step(function, sources, tuple([steps.differences(function, i) for i in range(len(sources))]))

    def step(self, function: Callable[..., Array], sources: tuple[int, ...], pullbacks: tuple[Pullback, ...]) -> int:
        """Return the slot of a function of slots; one that depends on no parameter is evaluated at once."""
        depends, values = self.depends, self.values
        if True not in [depends[source] for source in sources]:
            return self._add(function(*map(values.__getitem__, sources)), False)
        slot = self._add(values[0], True)
        back = [(source, pull) for source, pull in zip(sources, pullbacks, strict=True) if pull and depends[source]]
        self.steps.append((function, slot, sources, tuple(back)))
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
        return self.step(steps.log_size, (slot,), (lambda g, a, v: g / a,))

    def reciprocal(self, slot: int) -> int:
        """Return the slot of 1 over a value, by the search's own division."""
        return self._as("inv", (slot,), self.step(self.functions["/"], (ONE, slot), OPERATORS["/"].pullbacks))

    def power(self, base: int, exponent: int) -> int:
        """Return the slot of a power whose exponent is a parameter; the logarithm of a known base is taken once."""
        logs = self.log_size(base)
        negative = self.step(steps.is_negative, (base,), (None,))
        if not self.depends[base] and not self.values[negative].any():
            slot = self.step(steps.positive_power, (logs, exponent), (None, steps.exponent_slope))
        else:
            slot = self.step(steps.power, (logs, exponent, negative), (steps.log_slope, steps.exponent_slope, None))
        return self._as("power", (base, exponent), slot)

    def _as(self, name: str, sources: tuple[int, ...], slot: int) -> int:
        if self.depends[slot]:
            self.made[slot] = name, sources
        return slot

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
        self.sums[total] = rest, coefficients, cores
        return total

    def run(self, parameters: Array) -> None:
        """Set all values for parameters of shape (k,), or for several sets of them, shape (sets, k), at once."""
        values = self.values
        given = parameters if parameters.ndim == 1 else parameters.T[:, :, None]
        for slot, value in zip(self.parameters, given, strict=True):
            values[slot] = value
        for function, target, sources, _ in self.steps:
            if len(sources) == 2:  # Written out, as these are innermost loops.
                values[target] = function(values[sources[0]], values[sources[1]])
            elif len(sources) == 1:
                values[target] = function(values[sources[0]])
            else:
                values[target] = function(*map(values.__getitem__, sources))

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
                        above = 1.0 if rest == -1 else steps.largest(values[rest])
                        size = above / steps.largest(values[core])
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
            arguments = [*map(values.__getitem__, sources), values[target]]
            for source, pullback in back:
                part = pullback(factor, *arguments)
                pulled[source] = part if source not in pulled else pulled[source] + part
        return [pulled.get(slot) for slot in self.parameters]

    def branch(self) -> Tape:
        """Return a tape that begins as this one does, to which steps can be added."""
        part = self._copy()
        part.values, part.depends, part.steps = list(self.values), list(self.depends), list(self.steps)
        part.made = dict(self.made)
        return part

    def needed(self, slots: Sequence[int], without: Sequence[int]) -> Tape:
        """Return a tape of only those steps and parameters that some slots need, some parameters left out."""
        part, wanted = self._copy(), set(slots)
        kept_steps = []
        for step in reversed(self.steps):
            if step[1] in wanted:
                kept_steps.append(step)
                wanted.update(step[2])
        part.steps = kept_steps[::-1]
        kept = [i for i, slot in enumerate(self.parameters) if slot in wanted and i not in without]
        part.places = kept
        part.parameters = [self.parameters[i] for i in kept]
        part.start, part.origins = [self.start[i] for i in kept], [self.origins[i] for i in kept]
        return part

    def on(self, rows: Rows, slots: Iterable[int]) -> Tape:
        """Return a tape of the same steps on some of the rows; of known values, only those needed and some slots."""
        part, wanted = self._copy(), {ONE, *slots}
        for _, _, sources, _ in self.steps:
            wanted.update(sources)
        for core, rest in self.origins:
            wanted.update((core, rest))
        wanted.discard(-1)
        part.values = values = list(self.values)
        for slot in wanted:
            if not self.depends[slot] and values[slot].ndim:
                values[slot] = np.ascontiguousarray(values[slot][rows])  # So that loops give the same last digits.
        return part

    def _copy(self) -> Tape:
        """Return a tape of the same attributes, as `copy.copy` does at five times the price."""
        part = Tape.__new__(Tape)
        part.__dict__.update(self.__dict__)
        return part

    def _add(self, value: Array, depends: bool) -> int:
        self.values.append(value)
        self.depends.append(depends)
        return len(self.values) - 1

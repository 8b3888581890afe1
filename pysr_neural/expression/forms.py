"""Sums of terms with free coefficients, and what operators make of them.

Owns: forms, their arithmetic over a tape with as few other parameters as possible, and the way back from coefficients
and parameters to constants.  Does not own: the reading of trees (`structure`), the fit (`projection`).

A form is ``fixed + Σ coefficient · core``.  Products of scales become one coefficient (``c·x·d/e``), a scale is
distributed over a sum (``c·(x + d)`` has the terms x and 1), and comes out of powers, roots and logarithms
(``sqrt(c·x² + d·y²)`` has one coefficient and one parameter).  What is left inside a function is a parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pysr_neural.expression.numbers import exponential, real_power
from pysr_neural.expression.tape import ONE, Tape

Put = Callable[[Sequence[float]], None]


@dataclass(slots=True)
class Form:
    """``fixed + Σ coefficient · core``, in slots of a tape.

    Parameters
    ----------
    fixed : int
        Slot; -1 for none.
    cores : list of int
        Slots.
    start : list of float
        Coefficients in the given tree.
    put : callable
        Sets the tree's constants so that the coefficients take given values; NaN where that is impossible.
    signed : bool
        Whether coefficients can have either sign.
    """

    fixed: int
    cores: list[int]
    start: list[float]
    put: Put
    signed: bool = True


def nothing(_: Sequence[float]) -> None:
    """Set no constants."""


ROOT_POWERS = {"sqrt": 0.5, "square": 2.0, "cube": 3.0, "abs": 1.0, "inv": -1.0, "relu": 1.0}
"""Functions f with f(s·x) = |s|^p · f(x) for s > 0."""
_ODD = frozenset({"cube", "inv", "/"})
LOGARITHMS = {"log": 1.0, "log2": math.log(2.0), "log10": math.log(10.0)}


class Algebra:
    """Makes forms of forms.

    Parameters
    ----------
    tape : Tape

    Attributes
    ----------
    theta : list of float
        The tape's parameters, to be set before constants are put.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.theta: Sequence[float] = ()
        self._puts: list[tuple[Put, list[int]]] = []

    def fixed(self, slot: int) -> Form:
        """Return a form without coefficients."""
        return Form(slot, [], [], nothing)

    def scaled(self, form: Form, factor: float) -> Form:
        """Return a form times a number."""
        put = form.put
        fixed = form.fixed if form.fixed == -1 else self.tape.scaled(form.fixed, factor)
        start = [factor * value for value in form.start]
        return Form(fixed, form.cores, start, lambda values: put([value / factor for value in values]), form.signed)

    def sum(self, left: Form, right: Form) -> Form:
        """Return the form of a sum; equal cores share a coefficient, which the first one takes."""
        fixed = left.fixed if right.fixed == -1 else right.fixed
        if left.fixed != -1 and right.fixed != -1:
            fixed = self.tape.plus(left.fixed, right.fixed)
        cores, start = list(left.cores), list(left.start)
        extra, shared = [], []
        for core, value in zip(right.cores, right.start, strict=True):
            if core in left.cores:
                at = left.cores.index(core)
                start[at] += value
                shared.append((at, value))
            else:
                extra.append(len(cores))
                cores.append(core)
                start.append(value)
        count = len(left.cores)

        def put(values: Sequence[float]) -> None:
            mine = list(values[:count])
            for at, value in shared:
                mine[at] -= value
            left.put(mine)
            others = iter(values[count:])
            kept = iter([value for _, value in shared])
            right.put([next(kept) if core in left.cores else next(others) for core in right.cores])

        return Form(fixed, cores, start, put, left.signed and right.signed)

    def product(self, left: Form, right: Form) -> Form:
        """Return the form of a product: that of one factor, times the other, whose scale goes into the coefficients."""
        if _terms(right) > _terms(left) or (_terms(right) == _terms(left) == 1 and right.signed and not left.signed):
            left, right = right, left
        scale = self.factor(right)
        slot, times = scale.cores[0] if scale.cores else scale.fixed, self.tape.times
        cores = [times(core, slot) for core in left.cores]
        fixed = -1 if left.fixed == -1 else times(left.fixed, slot)
        if not scale.cores:
            return Form(fixed, cores, left.start, left.put, left.signed)
        size = scale.start[0]
        size = size if math.isfinite(size) and size else 1.0
        if fixed == -1:

            def put(values: Sequence[float]) -> None:
                scale.put([size])
                left.put([value / size for value in values])

            return Form(-1, cores, [size * value for value in left.start], put, left.signed)

        def distribute(values: Sequence[float]) -> None:
            scale.put(values[:1])
            left.put([value / values[0] if values[0] else math.nan for value in values[1:]])

        start = [size, *[size * value for value in left.start]]
        return Form(-1, [fixed, *cores], start, distribute, left.signed and scale.signed)

    def factor(self, form: Form) -> Form:
        """Return a form with either one coefficient and nothing fixed, or no coefficient: the rest are parameters."""
        if form.fixed != -1:
            return form if not form.cores else self.fixed(self.opaque(form))
        if len(form.cores) == 1:
            return form
        tape, size = self.tape, form.start[0]
        size = size if math.isfinite(size) and size else 1.0
        start = [value / size for value in form.start[1:]]
        places = self._parameters(start, form.cores[1:], form.cores[0])
        slot = tape.weighted(form.cores[0], [tape.parameters[place] for place in places], form.cores[1:])

        def put(values: Sequence[float]) -> None:
            form.put([values[0], *[values[0] * self.theta[place] for place in places]])

        return Form(-1, [slot], [size], put, form.signed)

    def opaque(self, form: Form) -> int:
        """Return the slot of a form whose coefficients become parameters."""
        if not form.cores:
            return form.fixed
        places = self._parameters(form.start, form.cores, form.fixed)
        self._puts.append((form.put, places))
        return self.tape.weighted(form.fixed, [self.tape.parameters[place] for place in places], form.cores)

    def _parameters(self, start: Sequence[float], cores: Sequence[int], rest: int) -> list[int]:
        first = len(self.tape.parameters)
        for value, core in zip(start, cores, strict=True):
            self.tape.parameter(value, core, rest)
        return list(range(first, len(self.tape.parameters)))

    def _oriented(self, form: Form) -> tuple[int, float, Form]:
        """Return the core of a factor with the sign of its coefficient, and that sign."""
        scale, tape = self.factor(form), self.tape
        slot, sign = scale.cores[0], math.copysign(1.0, scale.start[0])
        if slot != ONE and scale.signed and not tape.depends[slot]:
            values = tape.values[slot]
            if float(values.max(initial=-1.0)) <= 0:
                sign = -1.0
            elif float(values.min(initial=1.0)) >= 0:
                sign = 1.0
        return (slot if sign > 0 else tape.negative(slot)), sign, scale

    def power(self, form: Form, exponent: float, name: str) -> Form:
        """Return the form of a function that is a power of a positive scale."""
        if form.fixed != -1:
            return self.fixed(self._shape(name, self.opaque(form)))
        if name in _ODD:
            scale = self.factor(form)
            slot, sign, odd = scale.cores[0], 1.0, scale.signed
        else:
            (slot, sign, scale), odd = self._oriented(form), False
        core = ONE if slot == ONE else self._shape(name, slot)
        put_scale = scale.put

        def put(values: Sequence[float]) -> None:
            value = values[0]
            size = real_power(abs(value), 1 / exponent) if odd or value >= 0 else math.nan
            put_scale([sign * math.copysign(size, value)])

        value = scale.start[0] * sign
        size = real_power(abs(value), exponent)
        return Form(-1, [core], [math.copysign(size, value) if odd else size], put, odd)

    def _shape(self, name: str, slot: int) -> int:
        return self.tape.reciprocal(slot) if name == "/" else self.tape.apply(name, slot)

    def logarithm(self, form: Form, name: str) -> Form:
        """Return the form of a logarithm, of which a scale is a constant."""
        slot, sign, scale = self._oriented(form)
        if slot == ONE:
            return self.fixed(self.tape.apply(name, self.opaque(form)))
        unit, put_scale, value = LOGARITHMS[name], scale.put, abs(scale.start[0])
        fixed = self.tape.apply(name, slot)
        start = math.log(value) / unit if value > 0 else 0.0
        return Form(fixed, [ONE], [start], lambda values: put_scale([sign * exponential(unit * values[0])]))

    def exponential(self, form: Form) -> Form:
        """Return the form of an exponential, of which a constant is a scale."""
        at = form.cores.index(ONE)
        rest = [i for i in range(len(form.cores)) if i != at]
        cores, start = [form.cores[i] for i in rest], [form.start[i] for i in rest]
        places = self._parameters(start, cores, form.fixed)
        slot = self.tape.weighted(form.fixed, [self.tape.parameters[place] for place in places], cores)

        def put(values: Sequence[float]) -> None:
            given = [self.theta[place] for place in places]
            given.insert(at, math.log(values[0]) if values[0] > 0 else math.nan)
            form.put(given)

        return Form(-1, [self.tape.apply("exp", slot)], [exponential(form.start[at])], put, False)

    def raised(self, inner: Form, outer: Form) -> Form:
        """Return the form of a power whose exponent may be a parameter."""
        tape = self.tape
        if outer.fixed != -1 or outer.cores != [ONE]:
            return self.fixed(tape.apply("^", self.opaque(inner), self.opaque(outer)))
        if inner.fixed != -1:
            slot = self.opaque(inner)
            return self.fixed(tape.power(slot, self._exponent(outer, slot)))
        slot, sign, scale = self._oriented(inner)
        place = len(tape.parameters)
        core = tape.power(slot, self._exponent(outer, slot))
        put_scale, value, given = scale.put, abs(scale.start[0]), outer.start[0]

        def put(values: Sequence[float]) -> None:
            size, power = values[0], self.theta[place]
            odd = power % 2 == 1
            root = real_power(abs(size), 1 / power) if power and (size >= 0 or odd) else math.nan
            put_scale([sign * math.copysign(root, size)])

        return Form(-1, [core], [real_power(value, given)], put, False)

    def _exponent(self, form: Form, base: int) -> int:
        self._puts.append((form.put, [len(self.tape.parameters)]))
        return self.tape.parameter(form.start[0], -1, base)


def _terms(form: Form) -> int:
    """Return how many terms a product with a scale would have, were it distributed; 0 without coefficients."""
    return len(form.cores) + (form.fixed != -1) if form.cores else 0

"""The fit of one tree's constants: from where they stand, from logarithms, and from other starts.

Owns: the order of the attempts, and what each may cost.  Does not own: descents (`projection`), starts (`starts`), the
decision whether the result is better (`fit`).

The search for parameters looks at some of the rows; what it finds is then fitted on all.  A tree that is a product is
also fitted in logarithms, where exponents are linear coefficients.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from pysr_neural.expression.forms import Form, Forms
from pysr_neural.expression.node import Node
from pysr_neural.expression.projection import Fit, Projection, Target
from pysr_neural.expression.starts import promising
from pysr_neural.expression.tape import ONE, Functions, Tape
from pysr_neural.operators import Array

ROWS = 48
"""About as many rows are looked at in the search for parameters, and at least eight per constant."""
SETTLED = 1e-13
"""Share of the variance of y below which no other start is tried."""
LOOSE = 0.1
"""Relative gain below which a descent of the search is given up."""
EVALUATIONS = 24
"""Most evaluations of one descent of the search."""
DESCENTS = 3
"""Most other starts that are followed."""
SNAP = 1e-6
"""A constant found in logarithms that is this close to a whole number becomes it: signs need whole exponents."""


class Refinement:
    """Fits trees to one data set.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)
    functions : mapping
        The meaning of operators, see `evaluate`.
    """

    def __init__(self, X: Array, y: Array, functions: Functions) -> None:
        self.functions = functions
        self.columns, self.target = np.ascontiguousarray(X.T), Target(np.ascontiguousarray(y))
        self.memory: dict[Node, Array] = {}
        self._few: dict[int, tuple[Target, Target | None]] = {}

    def constants(self, tree: Node, most: int) -> list[float] | None:
        """Return fitted constants, which may be no better than the given; None where nothing finite was found.

        Parameters
        ----------
        tree : Node
        most : int
            Bound on evaluations; those of derivatives count, and those on fewer rows by their share.
        """
        tape = Tape(self.columns, self.functions, self.memory)
        forms = Forms(tape, tree)
        projection = Projection(tape, forms.of(tree), self.target)
        if tape.parameters:
            fit = self._searched(projection, most)
            fit = projection.descend(fit, min(most, projection.spent + EVALUATIONS))
        else:
            fit = projection.at(np.empty(0))
        if not isfinite(fit.square):
            return None
        return forms.assign(projection.form, projection.polished(fit), fit.theta.tolist())

    def _searched(self, projection: Projection, most: int) -> Fit:
        """Return the best point that a search on some of the rows finds, or the given one."""
        count = len(projection.tape.parameters) + len(projection.form.cores)
        step = max(len(self.target.y) // max(ROWS, 8 * count), 1)
        start = np.array(projection.tape.start)
        logs = _logarithm(projection)
        few = projection.on(slice(None, None, step), self._fewer(step)[0])
        enough = SETTLED * few.target.spread
        if logs is not None and (theta := self._by_logarithms(few, logs, step, most)) is not None:
            best = few.at(theta)
            if not best.square <= enough:
                best = min(
                    few.descend(best, EVALUATIONS, LOOSE), few.descend(few.at(start), EVALUATIONS, LOOSE), key=_square
                )
        else:
            best = few.descend(few.at(start), EVALUATIONS, LOOSE)
        if not best.square <= enough:
            best = _from_elsewhere(few, best, most * step / 2)
        projection.spent += few.spent / step
        fit = projection.at(best.theta)
        return fit if isfinite(fit.square) else projection.at(start)

    def _by_logarithms(self, few: Projection, logs: tuple[Form, list[int]], step: int, most: int) -> Array | None:
        """Return parameters from a fit of log |y|; None where that is of no use."""
        target = self._fewer(step)[1]
        if target is None:
            return None
        form, places = logs
        part = few.tape.needed([form.fixed, *form.cores], places)
        projection = Projection(part, form, target)
        fit = projection.at(np.array(part.start))
        enough = SETTLED * target.spread
        if part.parameters and not fit.square <= enough:
            fit = projection.descend(fit, EVALUATIONS, LOOSE)
            if not fit.square <= enough:
                fit = _from_elsewhere(projection, fit, most * step / 4)
        few.spent += projection.spent
        if not isfinite(fit.square):
            return None
        theta = np.array(few.tape.start)
        theta[part.places] = fit.theta
        for place, value in zip(places, fit.coefficients, strict=False):
            theta[place] = _snapped(value)
        return theta

    def _fewer(self, step: int) -> tuple[Target, Target | None]:
        """Return y on some of the rows, and log |y| if it is finite there."""
        found = self._few.get(step)
        if found is None:
            y = np.ascontiguousarray(self.target.y[::step])
            found = self._few[step] = Target(y), Target(np.log(np.abs(y))) if y.all() else None
        return found


def _logarithm(projection: Projection) -> tuple[Form, list[int]] | None:
    """Return the form of log |prediction|, and the parameters that its coefficients are; None if there are none."""
    form, tape = projection.form, projection.tape
    if len(form.cores) + (form.fixed != -1) != 1:
        return None
    fixed, cores, places = tape.logarithm(form.cores[0] if form.cores else form.fixed)
    if not cores:
        return None
    return Form(fixed, [*cores, ONE] if form.cores else cores, [], form.put), places


def _from_elsewhere(projection: Projection, fit: Fit, most: float) -> Fit:
    """Return the best of a fit and of descents from other starts."""
    enough = SETTLED * projection.target.spread
    for _, theta in zip(range(DESCENTS), promising(projection, SETTLED, most), strict=False):
        fit = min(fit, projection.descend(projection.at(theta), projection.spent + EVALUATIONS, LOOSE), key=_square)
        if fit.square <= enough or projection.spent >= most:
            break
    return fit


def _square(fit: Fit) -> float:
    return fit.square


def _snapped(value: float) -> float:
    whole = float(round(value))
    return whole if whole and abs(value - whole) < SNAP else value

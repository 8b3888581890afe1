"""The fit of one tree's constants: from where they stand, from logarithms, and from other starts.

Owns: the order of the attempts, and what each may cost.  Does not own: descents (`descent`), starts (`starts`), the
decision whether the result is better (`fit`).

The search for parameters looks at some of the rows; what it finds is then fitted on all.  A tree that is a product is
also fitted in logarithms, where exponents are linear coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isfinite, nextafter
from operator import itemgetter

import numpy as np

from pysr_neural.expression.descent import descend
from pysr_neural.expression.evaluate import evaluate_remembering
from pysr_neural.expression.logarithms import log_form
from pysr_neural.expression.node import Node
from pysr_neural.expression.projection import Fit, Projection, Target
from pysr_neural.expression.starts import promising
from pysr_neural.expression.structure import Forms
from pysr_neural.expression.tape import Functions, Tape
from pysr_neural.operators import Array

ROWS = 48
"""About as many rows are looked at in the search for parameters, and at least eight per constant."""
SETTLED = 1e-13
"""Share of the variance of y below which no other start is tried."""
LOOSE = 0.15
"""Relative gain below which a descent of the search from another start is given up."""
GIVEN = 2e-2
"""The same for the descent from the given start, or from logarithms."""
FIT_EVALUATIONS = 120
"""Evaluations on all rows that a fit may take where nothing else is said."""
EVALUATIONS = 24
"""Most evaluations of one descent of the search."""
DESCENTS = 3
"""Most other starts that are followed."""
CAPACITY = 2**20
"""Most values of subtrees without constants that are remembered between trees."""
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
        self._rounding = self.target.rounding / self.target.unit / self.target.unit / len(y)
        self._memory: dict[Node, Array] = {}
        self._few: dict[int, Target] = {}
        self._logs: dict[int, Target | None] = {}

    def loss(self, tree: Node) -> float:
        """Return the mean squared error over all rows; infinite if any prediction is not finite."""
        with np.errstate(all="ignore"):
            return self._loss(tree)

    def _loss(self, tree: Node) -> float:
        if len(self._memory) * len(self.target.y) > CAPACITY:
            self._memory.clear()
        return mean_square(evaluate_remembering(tree, self.columns, self.functions, self._memory) - self.target.y)

    def refined(self, tree: Node, most: int) -> tuple[Node, float]:
        """Fit the constants of a tree; the arguments and the result are those of `fit.refine`."""
        with np.errstate(all="ignore"):
            loss = self._loss(tree)
            if not 0 < tree.constant_count <= len(self.target.y) or loss == 0:
                return tree, loss
            best = tree, loss
            for constants in self.constants(tree, most):
                if all(map(isfinite, constants)):
                    candidate = tree.with_constants(constants)
                    best = min(best, (candidate, self._loss(candidate)), key=itemgetter(1))
                    if best[1] <= self._rounding:
                        break
        return best

    def constants(self, tree: Node, most: int) -> Iterator[list[float]]:
        """Yield fitted constants, which may be no better than the given: those of some rows where nothing but rounding
        is left of these, then those of all rows, if they are finite.

        Parameters
        ----------
        tree : Node
        most : int
            Bound on the evaluations of the search, derivatives included; twice as many if they are of fewer rows.
        """
        tape = Tape(self.columns, self.functions, self._memory)
        forms = Forms(tape, tree)
        form = forms.of(tree)
        theta = np.empty(0)
        if tape.parameters:
            step = max(len(self.target.y) // max(ROWS, 8 * (len(tape.parameters) + len(form.cores))), 1)
            part = tape.on(slice(None, None, step), [*form.cores, form.fixed])
            few = Projection(part, form, self._few_rows(step))
            fit = self._searched(few, step, most)
            if step > 1 and fit.square <= few.target.rounding:
                yield forms.assign(form, few.polished(fit), fit.theta.tolist())
            theta = fit.theta
        projection = Projection(tape, form, self.target)
        fit = projection.at(theta)
        if tape.parameters:
            if not isfinite(fit.square):
                fit = projection.at(np.array(tape.start))
            fit = descend(projection, fit, projection.spent + min(most, EVALUATIONS))
        if isfinite(fit.square):
            yield forms.assign(form, projection.polished(fit), fit.theta.tolist())

    def _searched(self, few: Projection, step: int, most: int) -> Fit:
        """Return the best point that a search on some of the rows finds."""
        start = np.array(few.tape.start)
        enough, most = SETTLED * few.target.spread, most if step == 1 else 2 * most
        theta = self._by_logarithms(few, step, most // 2)
        best = few.at(start if theta is None else theta)
        if not best.square <= enough:
            best = descend(few, best, few.spent + min(most, EVALUATIONS), GIVEN)
            if theta is not None and not best.square <= enough:
                other = descend(few, few.at(start), few.spent + min(most, EVALUATIONS), LOOSE)
                best = min(best, other, key=_square)
            if not best.square <= enough and few.spent < most:
                best = _from_elsewhere(few, best, most)
        return best

    def _by_logarithms(self, few: Projection, step: int, most: int) -> Array | None:
        """Return parameters from a fit of log |y|; None where that is of no use."""
        tape = few.tape.branch()
        logs = log_form(tape, few.form)
        target = None if logs is None else self._log_target(few.target, step)
        if logs is None or target is None:
            return None
        form, places = logs
        part = tape.needed([form.fixed, *form.cores], places)
        projection = Projection(part, form, target)
        fit = projection.at(np.array(part.start))
        enough = SETTLED * target.spread
        if part.parameters and not fit.square <= enough:
            fit = descend(projection, fit, min(most, EVALUATIONS), LOOSE)
            if not fit.square <= enough and projection.spent < most:
                fit = _from_elsewhere(projection, fit, most)
        few.spent += projection.spent
        if not isfinite(fit.square):
            return None
        theta = np.array(few.tape.start)
        theta[part.places] = fit.theta
        for place, value in zip(places, projection.coefficients(fit), strict=False):
            theta[place] = _snapped(value)
        return theta

    def _few_rows(self, step: int) -> Target:
        found = self._few.get(step)
        if found is None:
            found = self._few[step] = self.target.on(slice(None, None, step))
        return found

    def _log_target(self, few: Target, step: int) -> Target | None:
        """Return log |y| on some of the rows, if it is finite there."""
        if step not in self._logs:
            self._logs[step] = Target(np.log(np.abs(few.y))) if few.y.all() else None
        return self._logs[step]


def mean_square(values: Array) -> float:
    """Return the mean of squares: infinite if a value is not finite, and 0 for zeros only.

    What is too small for the range of floats is the smallest number above 0.
    """
    size = float(values.dot(values)) / values.size
    if size == 0 and values.any():
        return nextafter(0.0, 1.0)
    return size if isfinite(size) else inf


def _from_elsewhere(projection: Projection, fit: Fit, most: float) -> Fit:
    """Return the best of a fit and of descents from other starts."""
    enough = SETTLED * projection.target.spread
    for _, theta in zip(range(DESCENTS), promising(projection, fit.square, SETTLED, most), strict=False):
        fit = min(fit, descend(projection, projection.at(theta), projection.spent + EVALUATIONS, LOOSE), key=_square)
        if fit.square <= enough or projection.spent >= most:
            break
    return fit


def _square(fit: Fit) -> float:
    return fit.square


def _snapped(value: float) -> float:
    whole = float(round(value))
    return whole if whole and abs(value - whole) < SNAP else value

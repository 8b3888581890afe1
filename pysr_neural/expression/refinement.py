"""The fit of one tree's constants: from where they stand, from logarithms, and from other starts.

Owns: the order of the attempts, and what each may cost.  Does not own: descents (`projection`), starts (`starts`), the
decision whether the result is better (`fit`).

The search for parameters looks at some of the rows; what it finds is then fitted on all.  A tree that is a product is
also fitted in logarithms, where exponents are linear coefficients.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from pysr_neural.expression.forms import Forms
from pysr_neural.expression.node import Node
from pysr_neural.expression.projection import Fit, Projection, Target
from pysr_neural.expression.starts import promising
from pysr_neural.expression.tape import ONE, Functions, Tape
from pysr_neural.operators import Array

ROWS = 64
"""About as many rows are looked at in the search for parameters, and at least eight per constant."""
SETTLED = 1e-13
"""Share of the variance of y below which no other start is tried."""
LOOSE = 1e-2
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
        self._few: dict[int, tuple[Array, Target | None, dict[Node, Array]]] = {}

    def constants(self, tree: Node, most: int) -> list[float] | None:
        """Return fitted constants, which may be no better than the given; None where nothing finite was found.

        Parameters
        ----------
        tree : Node
        most : int
            Bound on evaluations; those of derivatives count, and those on fewer rows by their share.
        """
        step = max(len(self.target.y) // max(ROWS, 8 * len(tree.constants())), 1)
        given = self._by_logarithms(tree, step, most // 2) if tree.operator in _PRODUCTS else None
        forms, projection = self._projection(tree if given is None else given)
        fit = projection.at(np.array(projection.tape.start))
        if projection.tape.parameters:
            fit = self._searched(projection, fit, tree if given is not None else None, step, most)
            fit = projection.descend(fit, most)
        if not isfinite(fit.square):
            return None
        return forms.assign(projection.form, projection.polished(fit), fit.theta.tolist())

    def _searched(self, projection: Projection, fit: Fit, tree: Node | None, step: int, most: int) -> Fit:
        """Return the best point that a search on every ``step``-th row finds, or the given one."""
        if fit.square <= SETTLED * projection.target.spread:
            return fit
        few = projection.on(slice(None, None, step))
        thetas = [fit.theta]
        if tree is not None:
            tape = Tape(self.columns, self.functions, self.memory)
            Forms(tape, tree).of(tree)
            thetas.append(np.array(tape.start))
        best = few.at(fit.theta)
        enough = SETTLED * few.target.spread
        for theta in thetas:
            other = few.descend(few.at(theta), EVALUATIONS, LOOSE)
            best = min(best, other, key=_square)
        if not best.square <= enough:
            best = _from_elsewhere(few, best, enough, (most - projection.spent) * step / 2)
        projection.spent += few.spent / step
        other = projection.at(best.theta)
        return other if other.square < fit.square or not isfinite(fit.square) else fit

    def _by_logarithms(self, tree: Node, step: int, most: int) -> Node | None:
        """Return the tree with constants from a fit of log |y|; None where that is of no use."""
        columns, target, memory = self._fewer(step)
        if target is None:
            return None
        tape = Tape(columns, self.functions, memory)
        forms = Forms(tape, tree)
        form = forms.logarithmic(tree)
        if form.cores in ([], [ONE]):
            return None
        projection = Projection(tape, form, target)
        fit = projection.at(np.array(tape.start))
        enough = SETTLED * target.spread
        if tape.parameters and not fit.square <= enough:
            fit = projection.descend(fit, EVALUATIONS, LOOSE)
            if not fit.square <= enough:
                fit = _from_elsewhere(projection, fit, enough, most * step)
        if not isfinite(fit.square):
            return None
        found = forms.assign(form, projection.polished(fit), fit.theta.tolist())
        return tree.with_constants([_snapped(value) for value in found]) if all(map(isfinite, found)) else None

    def _fewer(self, step: int) -> tuple[Array, Target | None, dict[Node, Array]]:
        """Return some rows of the data, and log |y| on them if it is finite."""
        found = self._few.get(step)
        if found is None:
            y = self.target.y[::step]
            target = Target(np.log(np.abs(y))) if y.all() else None
            found = self._few[step] = np.ascontiguousarray(self.columns[:, ::step]), target, {}
        return found

    def _projection(self, tree: Node) -> tuple[Forms, Projection]:
        tape = Tape(self.columns, self.functions, self.memory)
        forms = Forms(tape, tree)
        return forms, Projection(tape, forms.of(tree), self.target)


def _from_elsewhere(projection: Projection, fit: Fit, enough: float, most: float) -> Fit:
    """Return the best of a fit and of descents from other starts."""
    for theta in promising(projection, most, DESCENTS):
        fit = min(fit, projection.descend(projection.at(theta), projection.spent + EVALUATIONS, LOOSE), key=_square)
        if fit.square <= enough or projection.spent >= most:
            break
    return fit


def _square(fit: Fit) -> float:
    return fit.square


_PRODUCTS = frozenset({"*", "/", "^", "exp", "sqrt", "square", "cube", "inv", "neg", "abs"})


def _snapped(value: float) -> float:
    whole = float(round(value))
    return whole if whole and abs(value - whole) < SNAP else value

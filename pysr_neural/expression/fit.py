"""Losses of expressions on data, and least-squares refinement of their constants.

Owns: mean squared error, fraction of variance unexplained, `refine`.  Does not own: evaluation (`evaluate`).
"""

from collections.abc import Callable, Mapping
from math import isfinite

import numpy as np

from pysr_neural.expression.evaluate import IEEE, evaluate
from pysr_neural.expression.forms import Forms
from pysr_neural.expression.node import Node
from pysr_neural.expression.projection import Fit, Projection
from pysr_neural.expression.starts import Starts
from pysr_neural.expression.tape import Tape
from pysr_neural.operators import Array


def mean_squared_error(tree: Node, X: Array, y: Array, functions: Mapping[str, Callable[..., Array]] = IEEE) -> float:
    """Return the mean squared error over all rows; infinite if any prediction is not finite."""
    with np.errstate(all="ignore"):
        loss = float(np.mean(np.square(evaluate(tree, X, functions) - y)))
    return loss if np.isfinite(loss) else float("inf")


def fraction_unexplained(prediction: Array, y: Array) -> float:
    """Return the mean squared error over the variance of y; infinite if a prediction is not finite.

    A constant y is compared with its mean square instead of its variance.
    """
    with np.errstate(all="ignore"):
        scale = float(np.var(y)) or float(np.mean(np.square(y))) or 1.0
        value = float(np.mean(np.square(prediction - y))) / scale
    return value if np.isfinite(value) else float("inf")


def refine(
    tree: Node,
    X: Array,
    y: Array,
    max_evaluations: int = 120,
    functions: Mapping[str, Callable[..., Array]] = IEEE,
) -> tuple[Node, float]:
    """Fit the constants of an expression by least squares, starting at their present values.

    Parameters
    ----------
    tree : Node
    X : array, shape (rows, features)
    y : array, shape (rows,)
    max_evaluations : int
        Bound on the evaluations of the tree, numerical derivatives included.
    functions : mapping, optional
        The meaning of operators, see `evaluate`.

    Returns
    -------
    tree : Node
        The refined tree, or the given one if refinement did not help.
    loss : float
        Mean squared error of the returned tree; infinite where it is not finite on some row.
    """
    start = tree.constants()
    loss = mean_squared_error(tree, X, y, functions)
    if not start or len(start) > len(y):
        return tree, loss
    with np.errstate(all="ignore"):
        constants = Attempt(tree, X, y, functions).run(max_evaluations)
    if constants is None or not np.all(np.isfinite(constants)):
        return tree, loss
    candidate = tree.with_constants(constants)
    new_loss = mean_squared_error(candidate, X, y, functions)
    return (candidate, new_loss) if new_loss < loss else (tree, loss)


SETTLED = 1e-13
"""Share of the variance of y below which no other start is tried."""
SNAP = 1e-6


class Attempt:
    """The fit of one tree."""

    def __init__(self, tree: Node, X: Array, y: Array, functions: Mapping[str, Callable[..., Array]]) -> None:
        self.tree = tree
        self.columns, self.functions = np.ascontiguousarray(X.T), functions
        self.y = y
        self.memory: dict[Node, Array] = {}

    def run(self, most: int) -> list[float] | None:
        """Return fitted constants."""
        forms, projection = self._projection(self.tree)
        theta = np.array(projection.tape.start)
        fit = projection.at(theta)
        if projection.tape.parameters:
            enough = SETTLED * projection.spread()
            logs = self._by_logarithms(most)
            if logs is not None:
                again, _ = Forms(Tape(self.columns, self.functions, self.memory), logs), None
                again.of(logs)
                other = projection.at(np.array(again.tape.start))
                fit = self._lower(projection, fit, other, most, enough)
            else:
                fit = projection.descend(fit, most // 3) if isfinite(fit.square) else fit
            if not fit.square <= enough and projection.spent < most:
                for start in Starts(projection).best(most - 20, 3):
                    other = projection.at(start)
                    if isfinite(other.square):
                        other = projection.descend(other, min(projection.spent + most // 3, most))
                    if other.square < fit.square:
                        fit = other
                    if fit.square <= enough or projection.spent >= most:
                        break
            fit = projection.at(fit.theta)
        if not isfinite(fit.square):
            return None
        return forms.assign(projection.form, projection.polished(fit), fit.theta.tolist())

    def _lower(self, projection: Projection, fit: Fit, other: Fit, most: int, enough: float) -> Fit:
        first, second = (other, fit) if other.square < fit.square else (fit, other)
        first = projection.at(first.theta)
        best = projection.descend(first, most // 3) if isfinite(first.square) else first
        if best.square <= enough or not isfinite(second.square):
            return best
        second = projection.descend(projection.at(second.theta), 2 * most // 3)
        return min(best, second, key=lambda each: each.square)

    def _projection(self, tree: Node) -> tuple[Forms, Projection]:
        tape = Tape(self.columns, self.functions, self.memory)
        forms = Forms(tape, tree)
        return forms, Projection(tape, forms.of(tree), self.y)

    def _by_logarithms(self, most: int) -> Node | None:
        if not np.all(self.y):
            return None
        tape = Tape(self.columns, self.functions, self.memory)
        forms = Forms(tape, self.tree)
        form = forms.logarithmic(self.tree)
        if not form.cores or form.cores == [0]:
            return None
        projection = Projection(tape, form, np.log(np.abs(self.y)))
        fit = projection.at(np.array(tape.start))
        if tape.parameters:
            if isfinite(fit.square):
                fit = projection.descend(fit, most // 3)
            if not fit.square <= SETTLED * projection.spread():
                for start in Starts(projection).best(most - 20, 2):
                    other = projection.at(start)
                    if isfinite(other.square):
                        other = projection.descend(other, min(projection.spent + most // 3, most))
                    if other.square < fit.square:
                        fit = other
            fit = projection.at(fit.theta)
        if not isfinite(fit.square):
            return None
        constants = forms.assign(form, projection.polished(fit), fit.theta.tolist())
        if not np.all(np.isfinite(constants)):
            return None
        return self.tree.with_constants(
            [round(c) if 0 < abs(c - round(c)) < SNAP and round(c) else c for c in constants]
        )

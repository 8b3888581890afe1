"""What makes a member good: its loss on the data and its cost.

Owns: losses, costs, the cache of losses, the count of evaluations.  Does not own: choosing by cost (`variation`).
"""

import math
from collections.abc import Callable, Sequence
from contextvars import copy_context

import numpy as np

from pysr_neural.deadline import Deadline
from pysr_neural.errors import DataError
from pysr_neural.expression.evaluate import GUARDED, IEEE, evaluate, remembering
from pysr_neural.expression.node import Node
from pysr_neural.expression.refinement import FIT_EVALUATIONS, Refinement
from pysr_neural.expression.tape import Functions
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural_baseline.config import BasicSRConfig

LARGEST_PREDICTION = 1e6
CACHE_LIMIT = 200_000
MANY_ROWS = 5_000
"""With fewer, a fit takes some milliseconds."""
SMALLEST_SPREAD, LARGEST_NORM = 1e-130, 1e152
"""Of y: sums of its squares, and what a good fit leaves of them, are floating-point numbers."""


class Objective:
    """Loss and cost of trees on one problem.

    Parameters
    ----------
    problem : Problem
        All of its operators must be rows of the operator table.
    config : BasicSRConfig
    deadline : Deadline, optional
        Where there are many rows, a fit of constants is given up when it passes.

    Attributes
    ----------
    evaluations : int
        Trees evaluated so far; a loss found in the cache does not count.
    """

    def __init__(self, problem: Problem, config: BasicSRConfig, deadline: Deadline | None = None) -> None:
        self.problem, self.config = problem, config
        self.functions = GUARDED if config.guarded_arithmetic else IEEE
        self.scale = scale_of(problem.y) if config.relative_loss else 1.0
        self.evaluations = 0
        self._values = remembering(problem.X, self.functions)
        timed = deadline is not None and deadline.left < math.inf and len(problem.y) >= MANY_ROWS
        functions = _stopping(self.functions, deadline) if deadline is not None and timed else self.functions
        self._refinement = Refinement(problem.X, problem.y, functions)
        self._known: dict[Node, float] = {}
        # NumPy's error state belongs to the context; entering this one takes a tenth of the time of `np.errstate`.
        self._quiet = copy_context()
        self._quiet.run(np.seterr, all="ignore")
        self._surely_good = _least_bad_total(problem.y) if config.skip_bad_points else float("inf")

    def loss(self, tree: Node) -> float:
        """Return the mean squared error; infinite for a tree that does not count."""
        known = self._known.get(tree)
        return self.losses((tree,))[0] if known is None else known

    def losses(self, trees: Sequence[Node], stop: Callable[[], bool] | None = None) -> list[float]:
        """Return the losses of several trees, such as a generation; each is what `loss` returns.

        Parameters
        ----------
        trees : sequence of Node
        stop : callable, optional
            Asked after each evaluation; a true answer leaves out the losses of the trees that follow.
        """
        return self._quiet.run(self._losses, trees, stop)

    def _losses(self, trees: Sequence[Node], stop: Callable[[], bool] | None) -> list[float]:
        losses, known, values_of = [], self._known, self._values
        y, good = self.problem.y, self._surely_good
        if len(known) + len(trees) > CACHE_LIMIT:
            known.clear()
        for tree in trees:
            loss = known.get(tree)
            if loss is None:
                difference = values_of(tree)
                difference -= y
                total = float(difference.dot(difference))
                loss = total / len(y) if total < good else self._loss_with_bad_points(tree)
                known[tree] = loss
                self.evaluations += 1
                if stop is not None and stop():
                    losses.append(loss)
                    break
            losses.append(loss)
        return losses

    def cost(self, loss: float, complexity: int) -> float:
        """Return what the search minimises."""
        return loss / self.scale + self.config.parsimony * complexity

    def is_solved(self, loss: float) -> bool:
        """Tell whether a loss is low enough to stop."""
        return loss / self.scale <= self.config.early_stop_loss

    def refined(self, tree: Node) -> tuple[Node, float]:
        """Fit the constants of a tree; returns the better of the two trees and its loss."""
        try:
            fitted, _ = self._refinement.refined(tree, FIT_EVALUATIONS)
        except _OutOfTimeError:
            return tree, self.loss(tree)
        loss, old_loss = self.loss(fitted), self.loss(tree)
        return (fitted, loss) if loss < old_loss else (tree, old_loss)

    def _loss_with_bad_points(self, tree: Node) -> float:
        if not self.config.skip_bad_points:
            return float("inf")
        values = evaluate(tree, self.problem.X, self.functions)
        good = np.abs(values) < LARGEST_PREDICTION
        if np.count_nonzero(good) < min(max(3, 0.5 * len(good)), len(good)):
            return float("inf")
        return float(np.mean(np.square((values - self.problem.y)[good])))


def check_size(y: Array) -> None:
    """Check that losses can tell what explains y from what does not.

    Raises
    ------
    DataError
        If squared errors of y leave the range of floats.
    """
    half = y / 2  # Differences of halves do not overflow.
    largest = float(np.max(np.abs(y)))
    size = 2.0 * float(np.max(np.abs(half - half[0]))) or largest
    limit = LARGEST_NORM / len(y) ** 0.5
    if 0 < size < SMALLEST_SPREAD or largest > limit:
        raise DataError(
            f"y must vary by at least {SMALLEST_SPREAD:g} and be at most {limit:.3g} in size, for squared errors "
            f"to be floats; got values that vary by {size:.3g}, up to {largest:.3g}. Fit y in another unit, such as "
            f"y / {largest:.3g}."
        )


class _OutOfTimeError(Exception):
    """The search's time is up in the middle of a fit."""


def _stopping(functions: Functions, deadline: Deadline) -> Functions:
    """Return operators that raise `_OutOfTimeError` once time is up: a fit evaluates a tree many times."""

    def stopping(function: Callable[..., Array]) -> Callable[..., Array]:
        def apply(*arguments: Array) -> Array:
            if deadline.passed():
                raise _OutOfTimeError
            return function(*arguments)

        return apply

    return {name: stopping(function) for name, function in functions.items()}


def _least_bad_total(y: Array) -> float:
    """Return a sum of squared errors that any bad point would exceed, which spares most trees a look at every point."""
    margin = LARGEST_PREDICTION - float(np.max(np.abs(y)))
    return 0.99 * margin**2 if margin > 0 else 0.0


def scale_of(y: Array) -> float:
    """Return what a relative loss is divided by: the variance of y, or for a constant y its mean square, or 1."""
    return float(np.var(y)) or float(np.mean(np.square(y))) or 1.0

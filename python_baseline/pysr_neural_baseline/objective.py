"""What makes a member good: its loss on the data and its cost.

Owns: losses, costs, the cache of losses, the count of evaluations.  Does not own: choosing by cost (`variation`).
"""

import numpy as np

from pysr_neural.expression.evaluate import GUARDED, IEEE, evaluate
from pysr_neural.expression.fit import refine
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural_baseline.config import BasicSRConfig

LARGEST_PREDICTION = 1e6
CACHE_LIMIT = 200_000


class Objective:
    """Loss and cost of trees on one problem.

    Parameters
    ----------
    problem : Problem
        All of its operators must be rows of the operator table.
    config : BasicSRConfig

    Attributes
    ----------
    evaluations : int
        Trees evaluated so far; a loss found in the cache does not count.
    """

    def __init__(self, problem: Problem, config: BasicSRConfig) -> None:
        self.problem, self.config = problem, config
        self.functions = GUARDED if config.guarded_arithmetic else IEEE
        self.scale = scale_of(problem.y) if config.relative_loss else 1.0
        self.evaluations = 0
        self._cache: dict[Node, float] = {}

    def loss(self, tree: Node) -> float:
        """Return the mean squared error; infinite for a tree that does not count."""
        known = self._cache.get(tree)
        if known is not None:
            return known
        if len(self._cache) >= CACHE_LIMIT:
            self._cache.clear()
        self.evaluations += 1
        prediction = evaluate(tree, self.problem.X, self.functions)
        with np.errstate(all="ignore"):
            loss = self._loss_of(prediction)
        self._cache[tree] = loss
        return loss

    def cost(self, loss: float, complexity: int) -> float:
        """Return what the search minimises."""
        return loss / self.scale + self.config.parsimony * complexity

    def is_solved(self, loss: float) -> bool:
        """Tell whether a loss is low enough to stop."""
        return loss / self.scale <= self.config.early_stop_loss

    def refined(self, tree: Node) -> tuple[Node, float]:
        """Fit the constants of a tree; returns the better of the two trees and its loss."""
        fitted, _ = refine(tree, self.problem.X, self.problem.y, functions=self.functions)
        loss, old_loss = self.loss(fitted), self.loss(tree)
        return (fitted, loss) if loss < old_loss else (tree, old_loss)

    def _loss_of(self, prediction: Array) -> float:
        difference = prediction - self.problem.y
        if not self.config.skip_bad_points:
            return _mean_square(difference)
        good = np.abs(prediction) < LARGEST_PREDICTION
        count = int(np.count_nonzero(good))
        if count == len(good):
            return _mean_square(difference)
        return _mean_square(difference[good]) if count >= max(3, 0.5 * len(good)) else float("inf")


def scale_of(y: Array) -> float:
    """Return what a relative loss is divided by: the variance of y, or for a constant y its mean square, or 1."""
    return float(np.var(y)) or float(np.mean(np.square(y))) or 1.0


def _mean_square(difference: Array) -> float:
    loss = float(difference @ difference) / len(difference)
    return loss if loss < float("inf") else float("inf")

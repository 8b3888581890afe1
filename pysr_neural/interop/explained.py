"""Which expressions leave nothing of a search's data, or nothing but noise.

Owns: `Explained`, `Remainder`, who is tested of an answer and its request.  Does not own: the test
(`pysr_neural.expression.residuals`), what the engine does about it (`julia/NeuralProposer/src/Front.jl`).

An engine knows an answer by its loss where the data are exact and its numbers hold them.  Rounded to single precision,
data leave more of many a law (``sin(v)`` of v about 1,000) than of a near miss; so the engine is told what is exact in
double precision.  With noise the loss of the true law is that of the noise, of which nobody knows how large it is; but
what the law leaves depends on nothing, and what a near miss leaves does.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.expression.residuals import LackOfFit, looked_at
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.joins.sums import EXACT

RIVALS = 1.5
"""What leaves so many times more than another expression leaves more than noise."""
MOST_TESTED = 12
"""Of one answer, the least losses first."""


class Remainder(IntEnum):
    """What an expression leaves of the data, as the wire has it."""

    SOMETHING = 0
    ONLY_NOISE = 1
    NOTHING = 2


class Explained:
    """Tells for one search which expressions leave nothing, or only noise.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        taken = looked_at(len(problem.y))
        self._problem, self._X, self._y = problem, problem.X[taken], problem.y[taken]
        self._variance = float(np.var(self._y))
        self._usable = problem.operators.evaluable and self._variance > 0
        self._test: LackOfFit | None = None
        self._known: dict[Node, bool] = {}
        self._least = np.inf

    def by(self, trees: Sequence[Node]) -> list[Remainder]:
        """Tell what each expression leaves; where one leaves nothing, no other leaves only noise.

        Parameters
        ----------
        trees : sequence of Node
        """
        found = [Remainder.SOMETHING] * len(trees)
        if not self._usable:
            return found
        with np.errstate(all="ignore"):
            values = [self._values(tree, self._X) for tree in trees]
            losses = [float(np.mean(np.square(each - self._y))) / self._variance for each in values]
        self._least = min([self._least, *(loss for loss in losses if np.isfinite(loss))])
        if self._least < EXACT:
            for i, tree in enumerate(trees):
                if losses[i] < EXACT and self._is_exact(tree):
                    found[i] = Remainder.NOTHING
            return found
        order = sorted(range(len(trees)), key=losses.__getitem__)[:MOST_TESTED]
        for i in order:
            if losses[i] <= RIVALS * self._least:
                found[i] = Remainder(self._leaves_noise(trees[i], values[i]))
        return found

    def _is_exact(self, tree: Node) -> bool:
        """Tell of what leaves nothing of the rows looked at whether it leaves nothing of all of them."""
        if len(self._y) == len(self._problem.y):
            return True
        with np.errstate(all="ignore"):
            left = np.mean(np.square(self._values(tree, self._problem.X) - self._problem.y))
        return bool(left < EXACT * np.var(self._problem.y))

    @staticmethod
    def _values(tree: Node, X: Array) -> Array:
        """Evaluate an expression; NaN where it is none of this search, which only its proposer is to blame for."""
        try:
            return evaluate(tree, X)
        except (ExpressionError, IndexError, KeyError):
            return np.full(len(X), np.nan)

    def _leaves_noise(self, tree: Node, values: Array) -> bool:
        if tree not in self._known:
            if self._test is None:
                self._test = LackOfFit(self._X)
            used = [node.index for node in tree if node.index is not None]
            constants = sum(node.value is not None and node.value != round(node.value) for node in tree)
            self._known[tree] = self._test.of(self._y - values, values, used, constants).is_noise
        return self._known[tree]

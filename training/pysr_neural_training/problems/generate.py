"""Random problems: expressions from a prior, and data to go with them.

Owns: which draws become problems.  Does not own: the draws (`priors`), the split (`split`), what can be identified
(`identify`), model input (`examples.build`), files (`dataset`).

Train and held-out problems are told apart by the canonical skeleton of the expression, never by example.  Streams
depend on (seed, name, shard).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.expression.canonical import UNDEFINED, canonical
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, variable
from pysr_neural.expression.simplify import simplify
from pysr_neural.operators import Array
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural_training.problems.identify import is_reducible, is_redundant, leaves_of, says_twice
from pysr_neural_training.problems.priors import (
    ProblemPrior,
    pick,
    sample_constant,
    sample_inputs,
    sample_operators,
    sample_tree,
)
from pysr_neural_training.problems.split import SUITE_KEYS, blocks_of, in_training, is_held_out, split_key

__all__ = [
    "SUITE_KEYS",
    "GeneratedProblem",
    "ProblemPrior",
    "Sampler",
    "blocks_of",
    "in_training",
    "is_held_out",
    "is_reducible",
    "is_redundant",
    "pick",
    "sample_constant",
    "sample_inputs",
    "sample_operators",
    "sample_tree",
    "split_key",
]

PATIENCE = 20_000
"""Rejections in a row, about five seconds, after which a prior counts as impossible."""


@dataclass(frozen=True)
class GeneratedProblem:
    """A problem whose answer is known.

    Parameters
    ----------
    problem : Problem
    tree : Node
        The expression behind y, simplified.
    noise : float
        Standard deviation of the noise relative to that of y.
    """

    problem: Problem
    tree: Node
    noise: float = 0.0


@dataclass
class Sampler:
    """Draws problems from the prior.

    Parameters
    ----------
    prior : ProblemPrior
    rng : numpy.random.Generator
    held_out : bool
        Whether to draw held-out problems only, or training problems only.
    """

    prior: ProblemPrior
    rng: np.random.Generator
    held_out: bool = False
    rejected: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._fixed = OperatorSet.of(*self.prior.operators) if self.prior.operators else None
        self._feature_counts = range(1, len(self.prior.feature_weights) + 1)

    def __iter__(self) -> Iterator[GeneratedProblem]:
        """Yield problems without end.

        Raises
        ------
        ConfigError
            If `PATIENCE` draws in a row were rejected: the prior cannot make problems.
        """
        in_a_row = 0
        while in_a_row < PATIENCE:
            found = self.attempt()
            if isinstance(found, GeneratedProblem):
                in_a_row = 0
                yield found
            else:
                in_a_row += 1
                self.rejected[found] = self.rejected.get(found, 0) + 1
        raise ConfigError(
            f"A prior must be able to make problems; got none in {PATIENCE:,} draws in a row, rejected so far: "
            f"{self.rejected}. Allow more operators, larger expressions, or more points."
        )

    def attempt(self) -> GeneratedProblem | str:
        """Draw once; returns the problem, or why it was rejected."""
        prior, rng = self.prior, self.rng
        operators = self._fixed or sample_operators(rng)
        features = pick(self._feature_counts, prior.feature_weights, rng)
        tree = simplify(sample_tree(prior, operators, features, rng))
        if tree.size > prior.max_size:
            return "size"
        variables, constants = leaves_of(tree)
        if not variables:
            return "size"
        skeleton = canonical(tree)
        if skeleton == UNDEFINED:
            return "undefined"
        if says_twice(len(variables), constants, skeleton):
            return "redundant"
        key = split_key(skeleton)
        if not (is_held_out(key) if self.held_out else in_training(key)):
            return "split"
        if rng.random() >= prior.distractor_share:
            tree, features = _used_variables_only(tree, set(variables))
        return self._with_data(tree, features, operators)

    def _with_data(self, tree: Node, features: int, operators: OperatorSet) -> GeneratedProblem | str:
        prior, rng = self.prior, self.rng
        rows = pick(prior.rows, prior.row_weights, rng)
        for _ in range(2):
            X = sample_inputs(rows, features, rng, prior.inputs)
            y = evaluate(tree, X)
            scale = float(np.maximum.reduce(np.abs(y)))  # NaN if one of them is.
            if 1e-6 < scale < 1e7 and (deviation := _deviation(y)) > 1e-4 * scale:
                if is_reducible(tree, X, y):
                    return "reducible"
                noise = 0.0
                if rng.random() < prior.noise_share:
                    noise = pick(prior.noise_levels, (1.0,) * len(prior.noise_levels), rng)
                    y = y + noise * deviation * rng.standard_normal(rows)
                problem = Problem(X, y, operators, Limits(max_size=prior.max_size))
                return GeneratedProblem(problem, tree, noise)
        return "values"


def _deviation(y: Array) -> float:
    """Return ``np.std(y)``, in a third of its time."""
    offset = y - np.add.reduce(y) / len(y)
    return math.sqrt(np.add.reduce(offset * offset) / len(y))


def _used_variables_only(tree: Node, used: set[int]) -> tuple[Node, int]:
    count = len(used)
    if max(used) == count - 1:
        return tree, count
    new_index = {old: new for new, old in enumerate(sorted(used))}

    def rename(node: Node) -> Node:
        if node.index is not None:
            return variable(new_index[node.index])
        return Node(node.operator, tuple([rename(child) for child in node.children])) if node.children else node

    return rename(tree), count

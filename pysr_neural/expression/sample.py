"""The grow sampler: random trees over a search's language.

Owns: terminals and grown trees.  Does not own: the training prior (`pysr_neural_training.problems.generate`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pysr_neural.checks import number
from pysr_neural.errors import ConfigError
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.problem import OperatorSet

T = TypeVar("T")


@dataclass(frozen=True)
class GrowRules:
    """Probabilities of the grow method.

    Parameters
    ----------
    variable : float
        That a terminal is a variable, where there are constants to choose from.
    stop : float
        That a node below the root is a terminal.
    unary : float
        That an operator is unary, where the set has both arities.
    """

    variable: float = 0.7
    stop: float = 0.3
    unary: float = 0.35

    def __post_init__(self) -> None:
        for name in ("variable", "stop", "unary"):
            object.__setattr__(self, name, number(name, getattr(self, name), least=0, most=1))


class GrowSampler:
    """Draws random trees.

    Parameters
    ----------
    operators : OperatorSet
        Only unary and binary operators are drawn; at least one is needed.
    features : int
        Number of variables, at least 1.
    constants : sequence of float
        Values of constants; none means that every terminal is a variable.
    rules : GrowRules, optional
    """

    def __init__(
        self, operators: OperatorSet, features: int, constants: Sequence[float] = (), rules: GrowRules | None = None
    ) -> None:
        self.rules = rules or GrowRules()
        self.unary, self.binary = operators.of_arity(1), operators.of_arity(2)
        if features < 1 or not (self.unary or self.binary):
            raise ConfigError(
                "A grow sampler must have a variable and a unary or binary operator; "
                f"got {features} variables and the operators {operators.names}."
            )
        self.variables = tuple([variable(i) for i in range(features)])
        self.constants = tuple([constant(value) for value in constants])

    def terminal(self, rng: np.random.Generator) -> Node:
        """Draw a variable or a constant."""
        if not self.constants or rng.random() < self.rules.variable:
            return pick(self.variables, rng)
        return pick(self.constants, rng)

    def tree(self, max_depth: int, rng: np.random.Generator) -> Node:
        """Draw a tree.

        Parameters
        ----------
        max_depth : int
            Most operators on any path: 0 gives a terminal, and a tree has depth at most ``max_depth + 1``.
        rng : numpy.random.Generator

        Returns
        -------
        Node
        """
        return self._grow(0, max_depth, rng)

    def _grow(self, level: int, max_depth: int, rng: np.random.Generator) -> Node:
        if level >= max_depth or (level > 0 and rng.random() < self.rules.stop):
            return self.terminal(rng)
        if self.unary and (not self.binary or rng.random() < self.rules.unary):
            return Node(pick(self.unary, rng), (self._grow(level + 1, max_depth, rng),))
        name = pick(self.binary, rng)
        return Node(name, (self._grow(level + 1, max_depth, rng), self._grow(level + 1, max_depth, rng)))


def pick(items: Sequence[T], rng: np.random.Generator) -> T:
    """Draw one item uniformly; several times as fast as ``rng.choice``."""
    return items[int(rng.random() * len(items))]

"""Joins done once, for what needs no search: `combinations`.

Owns: nothing else.  Does not own: the joins (`search`).
"""

from collections.abc import Callable, Sequence

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.search import Joiner


def combinations(
    trees: Sequence[Node],
    X: Array,
    y: Array,
    operators: OperatorSet,
    max_size: int,
    allowed: Callable[[Node], bool] = lambda tree: True,
    steps: int = 20,
) -> list[Node]:
    """Join the parts of some expressions; see `Joiner`."""
    joiner = Joiner(X, y, operators, max_size, allowed)
    joiner.add(trees)
    return joiner.work(steps)
